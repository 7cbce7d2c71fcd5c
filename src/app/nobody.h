// Listens to the index where nobody needs to: the catalogue is followed through the database, which others write too.
#pragma once

#include "index/listener.h"

namespace mi::app {

class Nobody final : public index::IndexListener {
 public:
  void OnApplied(std::span<const model::SeriesBatch>, const store::ApplyResult&) override {}
  void OnSeenUpdated(std::span<const store::SeenUpdate>) override {}
};

}  // namespace mi::app
