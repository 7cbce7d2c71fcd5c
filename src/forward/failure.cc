#include "forward/failure.h"

#include <string>

namespace mi::forward {

Status Failure(Errc code, std::string_view message) { return Fail(code, std::string(message)); }

}  // namespace mi::forward
