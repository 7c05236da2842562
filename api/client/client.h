// SPDX-License-Identifier: Apache-2.0
// Client: the blocking HTTP client of the /v1 API: used by the CLI, by tests, and by the API itself to pass a
// request on to the agent that has the allocation. One connection at a time, kept alive between calls; one
// thread. Error texts are those of Nomad's Go client, since people and their scripts know them:
//   Unexpected response code: 404 (job not found)
//   Get "http://127.0.0.1:1/v1/jobs": dial tcp 127.0.0.1:1: connect: connection refused
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace google::protobuf {
class Message;
}

namespace drover::api {

using QueryParams = std::vector<std::pair<std::string, std::string>>;

struct ClientOptions {
    std::string address;  // http://host:port or unix:///path; empty: http://127.0.0.1:4646
    std::string region;
    std::string namespace_name;  // empty: the server's default
    std::string token;
    std::string http_auth;  // user[:password]
    int64_t connect_timeout_ms = 10'000;
    int64_t read_timeout_ms = 360'000;  // between two pieces of an answer; longer than any blocking query
    uint64_t body_bytes_max = 256u << 20;

    // DROVER_ADDR before NOMAD_ADDR, and so on for REGION, NAMESPACE, TOKEN, HTTP_AUTH.
    static ClientOptions from_environment();
};

struct HttpReply {
    int status = 0;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;

    uint64_t index() const;  // X-Nomad-Index; 0 when absent
    std::string next_token() const;
};

class Client {
 public:
    // InvalidArgument for an address that is none ("invalid address '...': ...").
    static Result<Client> create(ClientOptions options);
    Client(Client&&) noexcept;
    Client& operator=(Client&&) noexcept;
    ~Client();

    const ClientOptions& options() const;
    const std::string& address() const;  // as given, without a trailing slash

    // `path` starts with /v1 and is already escaped (escape_segment). Any status but 2xx is an Error whose
    // code says which (404 NotFound, 403 PermissionDenied, 400 InvalidArgument, ...) and whose text is
    // Nomad's.
    Result<HttpReply> get(std::string_view path, const QueryParams& query = {});
    Result<HttpReply> put(std::string_view path, std::string_view body, const QueryParams& query = {});
    Result<HttpReply> erase(std::string_view path, const QueryParams& query = {});

    // The same, with the schema's messages as bodies.
    Status get_message(std::string_view path, google::protobuf::Message& out, const QueryParams& query = {});
    Status put_message(std::string_view path, const google::protobuf::Message& in,
                       google::protobuf::Message& out, const QueryParams& query = {});

    // Hands the body over as it comes; `on_data` returns false to stop. Ok at the end of the body or after a
    // stop.
    Status stream(std::string_view path, const QueryParams& query,
                  const std::function<bool(std::string_view)>& on_data);

    // Any method, any status: what `operator api` and the proxy need. The body is streamed to `on_data` when
    // `on_head` says so (true), else it is in the reply.
    struct RawRequest {
        std::string method;
        std::string target;  // path and query, escaped
        std::map<std::string, std::string> headers;
        std::string body;
    };
    Result<HttpReply> raw(const RawRequest& request,
                          const std::function<bool(const HttpReply&)>& on_head = nullptr,
                          const std::function<bool(std::string_view)>& on_data = nullptr);

 private:
    struct State;
    explicit Client(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

// Percent-encoding of one path segment or query value.
std::string escape_segment(std::string_view text);
std::string encode_query(const QueryParams& query);

}  // namespace drover::api
