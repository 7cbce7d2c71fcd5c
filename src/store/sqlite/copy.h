// Copies a catalogue into one file, which needs no other file beside it.
#pragma once

#include <string>

#include "base/result.h"

namespace mi::store {

// Writes the catalogue `from`, as it is now, to the file `to`, and syncs it. A file with that name, and what belongs to
// it, is replaced. Only the owner may read the copy. Services may use `from` meanwhile. On an error there is no `to`.
// Errors: those of sqlite/database.h, and kUnavailable.
Status CopySqliteCatalog(const std::string& from, const std::string& to);

// Deletes a database and the files beside it.
void RemoveSqliteFiles(const std::string& path);
// Makes a database, which nobody has open, one file that only its owner may read, and syncs it.
Status MakeSqliteFileWhole(const std::string& path);

}  // namespace mi::store
