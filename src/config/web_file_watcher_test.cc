#include "config/web_file_watcher.h"

#include "base/bounded_queue.h"
#include "config/testing/test_folder.h"

namespace mi::config {
namespace {

using testing::HasSubstr;

constexpr std::string_view kPasswordHash = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG";

class WebFileWatcherTest : public TestFolder {
 protected:
  WebFileWatcherTest() {
    Write("server.crt", "CERTIFICATE");
    Write("server.key", "KEY");
    WriteUsers("alice");
    watcher_.emplace(
        Path("web.yml"), LoadWebFile(Path("web.yml")).value(),
        WebFileWatcher::Callbacks{
            .on_change =
                [this](const WebFile& file) {
                  if (refuse_) return Status(Fail(Errc::kInvalid, "not that"));
                  EXPECT_TRUE(changes_.TryPush(WebFile(file)));
                  return Status();
                },
            .on_report =
                [this](const Status& taken) {
                  EXPECT_TRUE(reports_.TryPush(taken ? std::string("taken") : std::string(taken.error().message())));
                }},
        std::chrono::milliseconds(2));
  }
  // Replaces the file at once, as careful writers do.
  void Replace(std::string_view name, std::string_view text) const {
    std::filesystem::rename(Write(std::string(name) + ".new", text), Path(name));
  }
  void WriteUsers(const std::string& user, const std::string& certificate = "server.crt") const {
    Replace("web.yml", "tls_server_config: {cert_file: " + certificate +
                           ", key_file: server.key}\nbasic_auth_users: {" + user + ": " + std::string(kPasswordHash) +
                           "}\n");
  }
  template <typename T>
  static T Next(BoundedQueue<T>& queue) {
    return queue.PopUntil(std::chrono::steady_clock::now() + std::chrono::seconds(30)).value();
  }

  BoundedQueue<WebFile> changes_{100};
  BoundedQueue<std::string> reports_{100};
  std::atomic<bool> refuse_ = false;
  std::optional<WebFileWatcher> watcher_;
};

TEST_F(WebFileWatcherTest, TakesAChangedFileCertificateOrKey) {
  WriteUsers("bob");
  EXPECT_TRUE(Next(changes_).access.users.contains("bob"));
  EXPECT_EQ(Next(reports_), "taken");
  Replace("server.crt", "NEXT CERTIFICATE");
  EXPECT_EQ(Next(changes_).tls->certificate, "NEXT CERTIFICATE");
  Replace("server.key", "NEXT KEY");
  EXPECT_EQ(Next(changes_).tls->key, "NEXT KEY");
}

TEST_F(WebFileWatcherTest, KeepsWhatThereIsIfTheFileIsBroken) {
  Replace("web.yml", "basic_auth_users: {alice: x}\n");
  EXPECT_THAT(Next(reports_), HasSubstr("basic_auth_users.alice wants a bcrypt hash"));
  WriteUsers("alice");  // as it was: that is news too, after a fault
  EXPECT_EQ(Next(reports_), "taken");
  EXPECT_TRUE(Next(changes_).access.users.contains("alice"));
}

TEST_F(WebFileWatcherTest, AFileThatAsksForNothingIsNotTaken) {
  for (const char* text : {"", "# half a\n", "tls_server_config:\n"}) {
    Replace("web.yml", text);
    EXPECT_THAT(Next(reports_), HasSubstr("asks for nothing any more"));
    WriteUsers("alice");
    EXPECT_EQ(Next(reports_), "taken");
  }
}

TEST_F(WebFileWatcherTest, AFileThatLosesAllLoginsOrTheCertificateIsNotTaken) {
  Replace("web.yml", "tls_server_config: {cert_file: server.crt, key_file: server.key}\nbasic_auth_users:\n");
  EXPECT_THAT(Next(reports_), HasSubstr("has no logins any more"));
  Replace("web.yml", "basic_auth_users: {alice: " + std::string(kPasswordHash) + "}\n");
  EXPECT_THAT(Next(reports_), HasSubstr("has no tls_server_config any more"));
  WriteUsers("alice");
  EXPECT_EQ(Next(reports_), "taken");
}

TEST_F(WebFileWatcherTest, TriesAgainWhatCouldNotBeUsed) {
  refuse_ = true;
  WriteUsers("bob");
  EXPECT_EQ(Next(reports_), "not that");
  refuse_ = false;
  EXPECT_EQ(Next(reports_), "taken");
  EXPECT_TRUE(Next(changes_).access.users.contains("bob"));
}

TEST_F(WebFileWatcherTest, WaitsForACertificateThatIsNotThereYet) {
  WriteUsers("alice", "other.crt");
  EXPECT_THAT(Next(reports_), HasSubstr("other.crt: cannot be read"));
  Replace("other.crt", "OTHER");
  EXPECT_EQ(Next(reports_), "taken");
  EXPECT_EQ(Next(changes_).tls->certificate, "OTHER");
}

}  // namespace
}  // namespace mi::config
