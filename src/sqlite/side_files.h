// The files that SQLite keeps beside a database. It finds them by name alone, so those of an earlier file would be
// applied to a later one of the same name.
#pragma once

#include <array>

namespace mi::sqlite {

inline constexpr std::array kSideFiles = {"-wal", "-shm", "-journal"};

}  // namespace mi::sqlite
