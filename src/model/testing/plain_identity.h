// The identity text read in the plainest way, character by character into owned strings: the oracle for IdentityReader.
#pragma once

#include <optional>
#include <string_view>

#include "model/labels.h"

namespace mi::model {

// Nothing if the text is not an identity.
std::optional<Labels> ParsePlainIdentity(std::string_view text);

// True if IdentityReader, ParseIdentity and the plain parser agree on `text`.
bool ReadersAgree(std::string_view text);

}  // namespace mi::model
