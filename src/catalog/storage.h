// Everything that the catalogue keeps, shared by the catalogue, which writes, and its snapshots, which read.
#pragma once

#include <cstdint>

#include "catalog/dictionary.h"
#include "catalog/metadata_log.h"
#include "catalog/postings.h"
#include "catalog/series_log.h"

namespace mi::catalog {

struct Storage {
  Dictionary dictionary;
  SeriesLog series;
  Postings postings;
  MetadataLog metadata;

  size_t bytes() const { return dictionary.bytes() + series.bytes() + postings.bytes() + metadata.bytes(); }
};

}  // namespace mi::catalog
