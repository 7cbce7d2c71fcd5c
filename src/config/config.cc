#include "config/config.h"

namespace mi::config {

std::string_view ToString(Role role) {
  switch (role) {
    case Role::kStandalone: return "standalone";
    case Role::kProducer: return "producer";
    case Role::kConsumer: return "consumer";
    case Role::kQuery: return "query";
    case Role::kAll: return "all";
  }
  return "unknown";
}

}  // namespace mi::config
