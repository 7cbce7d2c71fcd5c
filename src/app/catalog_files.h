// Puts another catalogue in the place of the one in a data directory: a backup, or what a repair has saved.
//
//   catalog.db.incoming.tmp   is being written; means nothing
//   catalog.db.incoming       complete: this is the catalogue from now on
//   catalog.db                the old one, until the other takes its name
//
// Between the last two, several files must go that belong to the old catalogue. A crash in between is repaired by
// whoever opens the directory next: the steps are repeated.
#pragma once

#include <string>

#include "app/data_directory.h"
#include "base/result.h"

namespace mi::app {

// Where to write the new catalogue. A file of an earlier attempt may be there.
std::string IncomingCatalog(const DataDirectory& directory);
// The file IncomingCatalog() is complete and synced: makes it the catalogue. After an error, the next start continues.
Status InstallCatalog(const DataDirectory& directory);

// Completes an InstallCatalog that was interrupted. Returns whether there was one. Call it before anything of the
// directory is opened.
Result<bool> CompleteInstallation(const DataDirectory& directory);

}  // namespace mi::app
