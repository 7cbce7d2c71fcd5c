#include "net/exchange.h"

#include <utility>

namespace mi::net {

Exchange& ExchangeTable::New(Connection& connection) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.push_back(std::make_unique<Exchange>());
    slots_.back()->token = free_.back();
  }
  Exchange& exchange = *slots_[free_.back()];
  free_.pop_back();
  exchange.connection = &connection;
  return exchange;
}

void ExchangeTable::Free(Exchange& exchange) {
  const uint64_t next_use = exchange.token + (uint64_t{1} << 32);
  free_.push_back(static_cast<uint32_t>(exchange.token));
  exchange = Exchange{.token = next_use};
}

Exchange* ExchangeTable::Find(uint64_t token) const {
  const uint32_t slot = static_cast<uint32_t>(token);
  if (slot >= slots_.size() || slots_[slot]->token != token) return nullptr;
  return slots_[slot].get();
}

}  // namespace mi::net
