#include "net/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <ctime>

#include "base/fatal.h"
#include "base/format.h"
#include "base/time_text.h"

namespace mi::net {
namespace {

constexpr long kUploadBufferBytes = 256 << 10;  // libcurl's 64 KiB would cost a large body four times as many calls
constexpr int64_t kLongestRetryAfterS = 300;
constexpr int kLongestPollMs = 10'000;  // libcurl shortens it to its own deadlines

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

void Append(const std::string& line, HeaderList& list) {
  curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) OutOfMemory();
  (void)list.release();  // the longer list contains it
  list.reset(longer);
}

// A name without a value removes a header that libcurl would add by itself. Among them is "Expect: 100-continue", for
// which libcurl would wait a second before it sends a large body.
HeaderList ListOf(const Headers& headers) {
  HeaderList list;
  for (const char* own : {"Accept:", "Expect:", "Content-Type:"}) Append(own, list);
  for (const auto& [name, value] : headers) {
    Append(value.empty() ? name + ";" : format("{}: {}", name, value), list);
  }
  return list;
}

// A body that is still arriving.
struct Answer {
  std::string body;
  const uint64_t limit;
  bool too_long = false;
};

// Returning another number than it was given ends the request.
size_t TakeBody(char* bytes, size_t one, size_t size, void* context) {
  auto& answer = *static_cast<Answer*>(context);
  answer.too_long = answer.body.size() + size > answer.limit;
  if (answer.too_long) return 0;
  answer.body.append(bytes, one * size);
  return size;
}

}  // namespace

Result<Url> Url::Parse(std::string_view text) {
  const auto fail = [](std::string_view why) {
    return Fail(Errc::kInvalid, format("the URL {}; wanted http[s]://host[:port][/path]", why));
  };
  if (!text.starts_with("http://") && !text.starts_with("https://")) {
    return fail("does not begin with http:// or https://");
  }
  text = text.substr(0, text.find('#'));
  const size_t host_begin = text.find("//") + 2;
  const size_t target_begin = std::min(text.find_first_of("/?", host_begin), text.size());
  const std::string_view authority = text.substr(host_begin, target_begin - host_begin);
  if (authority.contains('@')) return fail("carries credentials");
  const size_t colon = authority.rfind(':');
  const bool has_port = colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos;
  if (has_port) {
    const std::string port(authority.substr(colon + 1));
    const bool digits = port.find_first_not_of("0123456789") == std::string::npos;
    if (port.empty() || !digits || port.size() > 5 || std::stoul(port) > 65535) {
      return fail("has a port that is not 0 to 65535");
    }
  }
  const std::string_view host = has_port ? authority.substr(0, colon) : authority;
  if (host.empty() || host == "[]") return fail("has no host");
  Url url{.origin = std::string(text.substr(0, target_begin)), .target = std::string(text.substr(target_begin))};
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  return url;
}

std::optional<std::chrono::seconds> ParseRetryAfter(std::string_view value, int64_t now_s) {
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(value.begin(), value.end(), seconds);
  if (error != std::errc() || end != value.end()) {
    const std::optional<int64_t> date = ParseHttpDate(value);
    if (!date) return std::nullopt;
    seconds = *date - now_s;
  }
  return std::chrono::seconds(std::clamp<int64_t>(seconds, 0, kLongestRetryAfterS));
}

struct Client::Handles {
  Handles() {
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);  // once per process
    if (initialised != CURLE_OK) OutOfMemory();
    multi = curl_multi_init();
    easy = curl_easy_init();
    if (multi == nullptr || easy == nullptr) OutOfMemory();
  }
  ~Handles() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;

  template <typename Value>
  void Set(CURLoption option, Value value) {
    if (curl_easy_setopt(easy, option, value) == CURLE_OUT_OF_MEMORY) OutOfMemory();
  }

  CURLM* multi = nullptr;  // owns the connection that is kept open
  CURL* easy = nullptr;
  std::array<char, CURL_ERROR_SIZE> fault{};
};

Client::Client(ClientOptions options) : options_(options), handles_(std::make_unique<Handles>()) {
  Handles& curl = *handles_;
  curl.Set(CURLOPT_ERRORBUFFER, curl.fault.data());
  curl.Set(CURLOPT_NOSIGNAL, 1L);
  curl.Set(CURLOPT_QUICK_EXIT, 1L);  // a time-out does not wait for the thread that resolves the name
  curl.Set(CURLOPT_PROTOCOLS_STR, "http,https");
  curl.Set(CURLOPT_PROXY, "");  // not that of the environment either
  curl.Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl.Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl.Set(CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
  curl.Set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  curl.Set(CURLOPT_TIMEOUT_MS, static_cast<long>(options.timeout.count()));
  curl.Set(CURLOPT_WRITEFUNCTION, &TakeBody);
  // OpenSSL reads these variables by itself, libcurl's own defaults would hide them.
  if (const char* file = std::getenv("SSL_CERT_FILE")) curl.Set(CURLOPT_CAINFO, file);
  if (const char* directory = std::getenv("SSL_CERT_DIR")) curl.Set(CURLOPT_CAPATH, directory);
}

Client::~Client() = default;

void Client::Cancel() {
  cancelled_ = true;
  curl_multi_wakeup(handles_->multi);
}

Result<ClientResponse> Client::Get(const std::string& url, const Headers& headers) {
  handles_->Set(CURLOPT_HTTPGET, 1L);
  return Perform(url, headers);
}

Result<ClientResponse> Client::Post(const std::string& url, const Headers& headers, std::string_view body) {
  handles_->Set(CURLOPT_POSTFIELDS, body.empty() ? "" : body.data());
  handles_->Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  return Perform(url, headers);
}

Result<ClientResponse> Client::Perform(const std::string& url, const Headers& headers) {
  Handles& curl = *handles_;
  const HeaderList list = ListOf(headers);
  Answer answer{.body = {}, .limit = options_.max_answer_bytes};
  curl.Set(CURLOPT_URL, url.c_str());
  curl.Set(CURLOPT_HTTPHEADER, list.get());
  curl.Set(CURLOPT_WRITEDATA, &answer);
  curl.fault[0] = '\0';
  if (curl_multi_add_handle(curl.multi, curl.easy) != CURLM_OK) OutOfMemory();
  const Status done = Wait();
  curl_multi_remove_handle(curl.multi, curl.easy);
  if (answer.too_long) {
    return Fail(Errc::kUnavailable,
                format("the answer is longer than the limit {}", FormatBytes(options_.max_answer_bytes)));
  }
  if (!done) return Fail(done.error());
  ClientResponse response{.body = std::move(answer.body)};
  long status = 0;
  curl_easy_getinfo(curl.easy, CURLINFO_RESPONSE_CODE, &status);
  response.status = static_cast<int>(status);
  curl_header* retry_after = nullptr;
  if (curl_easy_header(curl.easy, "Retry-After", 0, CURLH_HEADER, -1, &retry_after) == CURLHE_OK) {
    response.retry_after = ParseRetryAfter(retry_after->value, std::time(nullptr));
  }
  return response;
}

// Drives the one transfer to its end. The multi interface is used instead of curl_easy_perform because only
// curl_multi_poll can be woken up by another thread. Cancel() sets the flag and then wakes the poll. libcurl remembers
// a wake-up that comes before the poll begins, so the flag is seen at once in either order.
Status Client::Wait() {
  Handles& curl = *handles_;
  for (int running = 1; running > 0;) {
    if (cancelled_) return Fail(Errc::kUnavailable, "cancelled");
    CURLMcode failed = curl_multi_perform(curl.multi, &running);
    if (failed == CURLM_OK && running > 0) {
      failed = curl_multi_poll(curl.multi, nullptr, 0, kLongestPollMs, nullptr);
    }
    if (failed != CURLM_OK) return Fail(Errc::kUnavailable, curl_multi_strerror(failed));
  }
  int left = 0;
  const CURLMsg* const message = curl_multi_info_read(curl.multi, &left);
  const CURLcode result = message == nullptr ? CURLE_OK : message->data.result;
  if (result == CURLE_OK) return {};
  return Fail(Errc::kUnavailable, curl.fault[0] != '\0' ? curl.fault.data() : curl_easy_strerror(result));
}

}  // namespace mi::net
