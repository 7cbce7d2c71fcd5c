// Reads the rows of a store in one thread while another thread adds them to the catalogue: with two processors a load
// takes half of the time.
//
//   calling thread   reader -> copy, parse, verify -> portion ──> filled ──>   adding thread   add(DecodedSeries)
//                                                     portion <── free   <──
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "model/identity_fingerprinter.h"
#include "store/ports.h"

namespace mi::catalog {

// A row of the store with its labels. Views are valid during the visit.
struct DecodedSeries {
  store::StoredSeries stored;
  std::span<const model::Label> labels;
  std::string damage;                                // why the row cannot be used; '' if it can
  std::optional<model::Fingerprint> of_its_content;  // if rows are verified and the tenant is valid
};

// Calls read(visit) in the calling thread, and add(row) for each row that it visits, in order, in one thread at a time.
// If add() returns false, it is not called again, and visit() returns false soon. Returns what read() returned; by then
// every row that was visited has been added, except those behind a false. Fewer rows than a portion need no second
// thread. With `verify` a row is damaged also if its fingerprint is not that of its tenant and content.
//
// Threads: `verify` is used in the calling thread only. Memory: about 5 MB.
Status ReadAhead(const std::function<Status(const std::function<bool(const store::StoredSeries&)>&)>& read,
                 model::IdentityFingerprinter* verify, const std::function<bool(const DecodedSeries&)>& add);

}  // namespace mi::catalog
