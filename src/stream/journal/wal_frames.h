// Looks at a write-ahead log of SQLite before SQLite opens it. SQLite reads the log up to the first frame whose
// checksum is wrong and forgets the rest without a word, because a crash in the middle of a commit leaves the same
// picture. But each commit is synced before the next one is written. So a commit behind the end that SQLite has found
// means that the log is damaged, or that the power was cut during the very last commit.
//
//   header | frame frame COMMIT | frame COMMIT | frame COMMIT | older frames, with other salts
//                               ^ SQLite stops here           ^ the log ends here
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mi::stream {

struct WalFrames {
  int64_t frames = 0;            // that belong to the log, whether or not their checksums are right
  std::vector<int64_t> commits;  // the numbers of those that end a transaction, ascending from 1
};

// No frames if the file is missing, empty or unreadable. Cost: one short read per frame.
WalFrames ReadWalFrames(const std::string& path);

}  // namespace mi::stream
