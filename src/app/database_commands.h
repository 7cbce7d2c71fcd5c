// The commands for people who look after the database: replay, schema mysql|sqlite|adopt. Each gives its exit code.
#pragma once

#include "app/command_line.h"

namespace mi::app {

int ReplayTopic(const Command& command);
int PrintSchema(const Command& command);
int AdoptSchema(const Command& command);

}  // namespace mi::app
