// Checks of one text value. Each returns '' if the value is legal, else what is wanted, to be read after "app.listen
// wants ".
#pragma once

#include <string_view>

namespace mi::config {

std::string_view NotEmpty(std::string_view value);
std::string_view HostPort(std::string_view value);       // "kafka-001:9092", "[::1]:9092"
std::string_view ListenAddress(std::string_view value);  // '', ":7001", "127.0.0.1:0", "[::]:7001"
std::string_view HttpUrl(std::string_view value);        // '' or http[s]://host[:port][/…], no user
std::string_view TopicName(std::string_view value);      // as Kafka allows

}  // namespace mi::config
