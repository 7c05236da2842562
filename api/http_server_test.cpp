// SPDX-License-Identifier: Apache-2.0
// The server from outside: bytes on a socket in, bytes out. What a hostile or broken client can send must be
// answered or cut off, and must never cost more than its limits.
#include "api/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "api/client/client.h"
#include "api/testing/fake_ports.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"

namespace drover::api {
namespace {

using testing::FakeCluster;
using testing::FakeNode;

class Wire {
 public:
    explicit Wire(uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    void send(std::string_view bytes) {
        while (!bytes.empty()) {
            auto sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) return;  // cut off: the test looks at what was answered
            bytes.remove_prefix(static_cast<size_t>(sent));
        }
    }
    // Everything until the server closes, or until `enough` is in it.
    std::string receive(std::string_view enough = "") {
        std::string out;
        char buffer[16384];
        while (true) {
            pollfd entry{fd_.get(), POLLIN, 0};
            if (::poll(&entry, 1, 10'000) <= 0) return out + "<timeout>";
            auto got = ::recv(fd_.get(), buffer, sizeof buffer, 0);
            if (got <= 0) return out;
            out.append(buffer, static_cast<size_t>(got));
            if (!enough.empty() && out.find(enough) != std::string::npos) return out;
        }
    }
    void close() { fd_.reset(); }

 private:
    UniqueFd fd_;
};

class HttpServerTest : public ::testing::Test {
 protected:
    void SetUp() override {
        log::configure({.level = log::Level::Off});
        cluster_.on<cluster::ListRequest, cluster::JobListResponse>(
            "Job.List", [](const auto&) -> Result<cluster::JobListResponse> {
                cluster::JobListResponse response;
                response.mutable_meta()->set_index(42);
                response.mutable_meta()->set_known_leader(true);
                response.add_jobs()->set_id("web");
                return response;
            });
    }
    void start(HttpLimits limits = {}, bool with_node = true) {
        HttpOptions options;
        options.bind = {"127.0.0.1:0"};
        options.cluster = &cluster_;
        options.node = with_node ? &node_ : nullptr;
        options.limits = limits;
        options.response_headers = {{"X-Extra", "yes"}};
        auto server = HttpServer::start(std::move(options));
        ASSERT_TRUE(server) << server.error().message();
        server_ = std::move(*server);
    }
    std::string ask(std::string_view bytes) {
        Wire wire(server_->port());
        wire.send(bytes);
        return wire.receive();
    }
    std::string get(std::string_view target, std::string_view headers = "") {
        return ask(fmt::format("GET {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{}\r\n", target, headers));
    }

    FakeCluster cluster_;
    FakeNode node_;
    std::unique_ptr<HttpServer> server_;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST_F(HttpServerTest, AnswersAListWithItsHeaders) {
    start();
    auto answer = get("/v1/jobs");
    EXPECT_HAS(answer, "HTTP/1.1 200 OK\r\n");
    EXPECT_HAS(answer, "Content-Type: application/json\r\n");
    EXPECT_HAS(answer, "X-Nomad-Index: 42\r\n");
    EXPECT_HAS(answer, "X-Nomad-Knownleader: true\r\n");
    EXPECT_HAS(answer, "X-Extra: yes\r\n");
    EXPECT_HAS(answer, "\"ID\":\"web\"");
    EXPECT_HAS(get("/v1/jobs?pretty"), "\n        \"ID\": \"web\"");
}

TEST_F(HttpServerTest, ErrorsArePlainTextWithTheRightCode) {
    start();
    EXPECT_HAS(get("/v1/nosuch"), "HTTP/1.1 404 ");
    EXPECT_HAS(ask("DELETE /v1/jobs HTTP/1.1\r\nConnection: close\r\n\r\n"), "405 Method Not Allowed");
    EXPECT_HAS(get("/v1/jobs?index=x"), "Invalid index");
    EXPECT_HAS(get("/v1/jobs?wait=x"), "Invalid wait time");
    EXPECT_HAS(get("/v1/jobs?stale=zz"), "HTTP/1.1 400 ");
    EXPECT_HAS(get("/v1/jobs?region=mars"), "No path to region");
    EXPECT_HAS(get("/v1/job/%zz"), "HTTP/1.1 400 ");
    EXPECT_HAS(ask("PUT /v1/jobs HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
               "Request body is empty");
    EXPECT_HAS(ask("POST /v1/jobs HTTP/1.1\r\nConnection: close\r\nContent-Length: 9\r\n\r\n{\"Job\":7}"),
               "HTTP/1.1 400 ");
    cluster_.on<cluster::JobGetRequest, cluster::JobGetResponse>(
        "Job.Get", [](const auto&) -> Result<cluster::JobGetResponse> {
            return make_error(Code::NotFound, "job not found");
        });
    auto answer = get("/v1/job/a/b");
    EXPECT_HAS(answer, "HTTP/1.1 404 ");
    EXPECT_HAS(answer, "text/plain; charset=utf-8");
    EXPECT_HAS(answer, "\r\n\r\njob not found");
    EXPECT_HAS(cluster_.last(), "job_id: \"a/b\"");
}

TEST_F(HttpServerTest, MalformedRequestsAreRefused) {
    start();
    EXPECT_HAS(ask("GARBAGE\r\n\r\n"), "HTTP/1.1 400 ");
    EXPECT_HAS(ask("GET /v1/jobs HTTP/9.9\r\n\r\n"), "HTTP/1.1 400 ");
    EXPECT_HAS(ask("GET /v1/jobs HTTP/1.1\r\nContent-Length: x\r\n\r\n"), "HTTP/1.1 400 ");
    EXPECT_HAS(ask("PUT /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "HTTP/1.1 400 ");
    EXPECT_HAS(ask(std::string("\0\x01\x02\xff\r\n\r\n", 8)), "HTTP/1.1 400 ");
    EXPECT_HAS(get("/v1/jobs"), "HTTP/1.1 200 ");  // and it goes on
}

TEST_F(HttpServerTest, OversizeHeadsAndBodiesAreRefused) {
    HttpLimits limits;
    limits.body_bytes_max = 1000;
    start(limits);
    EXPECT_HAS(
        ask("GET /v1/jobs HTTP/1.1\r\nX-Long: " + std::string(kHeaderBytesMax + 100, 'a') + "\r\n\r\n"),
        "HTTP/1.1 431 ");
    EXPECT_HAS(ask("PUT /v1/jobs HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"), "HTTP/1.1 413 ");
    EXPECT_HAS(ask("PUT /v1/jobs HTTP/1.1\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x')),
               "HTTP/1.1 413 ");
    std::string chunks;
    for (int i = 0; i < 20; ++i) chunks += "64\r\n" + std::string(100, 'y') + "\r\n";
    EXPECT_HAS(ask("PUT /v1/jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + "0\r\n\r\n"),
               "HTTP/1.1 413 ");
}

TEST_F(HttpServerTest, SlowClientsAreCutOff) {
    HttpLimits limits;
    limits.header_timeout_ms = 150;
    limits.body_timeout_ms = 150;
    limits.idle_timeout_ms = 300;
    start(limits);
    auto since = mono_now();
    EXPECT_EQ(ask("GET /v1/jobs HTT"), "");
    EXPECT_EQ(ask("PUT /v1/jobs HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc"), "");
    EXPECT_EQ(ask(""), "");
    EXPECT_LT(mono_now() - since, 5 * kSecond);
}

TEST_F(HttpServerTest, KeepsAliveAndTakesPipelinedRequests) {
    start();
    Wire wire(server_->port());
    wire.send("GET /v1/jobs HTTP/1.1\r\n\r\nGET /v1/regions HTTP/1.1\r\n\r\n");
    auto answer = wire.receive("[\"global\"]");
    EXPECT_HAS(answer, "\"ID\":\"web\"");
    wire.send("GET /v1/regions HTTP/1.1\r\nConnection: close\r\n\r\n");
    EXPECT_HAS(wire.receive(), "Connection: close");
}

TEST_F(HttpServerTest, ContinuesWhenAsked) {
    start();
    Wire wire(server_->port());
    wire.send(
        "PUT /v1/jobs HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
    EXPECT_HAS(wire.receive("\r\n\r\n"), "HTTP/1.1 100 Continue");
    wire.send("{}");
    EXPECT_HAS(wire.receive(), "Job must be specified");
}

TEST_F(HttpServerTest, CompressesWhenTheClientTakesIt) {
    cluster_.on<cluster::ListRequest, cluster::JobListResponse>(
        "Job.List", [](const auto&) -> Result<cluster::JobListResponse> {
            cluster::JobListResponse response;
            for (int i = 0; i < 100; ++i) response.add_jobs()->set_id("web");
            return response;
        });
    start();
    auto small = get("/v1/jobs", "Accept-Encoding: gzip\r\n");
    EXPECT_HAS(small, "Content-Encoding: gzip\r\n");
    EXPECT_LT(small.size(), get("/v1/jobs").size() / 4);
}

TEST_F(HttpServerTest, QueryParametersReachTheCluster) {
    start();
    get("/v1/jobs?index=7&wait=10h&prefix=w&namespace=*&per_page=3&next_token=t&filter=a&stale=&reverse=true",
        "X-Nomad-Token: s3\r\n");
    auto asked = cluster_.last();
    for (std::string_view part :
         {"min_index: 7", "max_wait_ns: 300000000000", "prefix: \"w\"", "namespace: \"*\"", "per_page: 3",
          "next_token: \"t\"", "filter: \"a\"", "allow_stale: true", "reverse: true", "auth_token: \"s3\""})
        EXPECT_HAS(asked, part);
    get("/v1/jobs", "Authorization: Bearer s4\r\n");
    EXPECT_HAS(cluster_.last(), "auth_token: \"s4\"");
}

TEST_F(HttpServerTest, AClientThatLeavesCancelsWhatItAskedFor) {
    cluster_.hold("Job.List");
    start();
    Wire wire(server_->port());
    wire.send("GET /v1/jobs?index=42 HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(cluster_.wait_for_calls(1));
    wire.close();
    EXPECT_TRUE(cluster_.wait_for_cancels(1));
}

TEST_F(HttpServerTest, StopEndsBlockingQueriesAndStreams) {
    cluster_.hold("Job.List");
    start();
    Wire blocked(server_->port());
    blocked.send("GET /v1/jobs?index=42 HTTP/1.1\r\n\r\n");
    ASSERT_TRUE(cluster_.wait_for_calls(1));
    Wire stream(server_->port());
    stream.send(fmt::format("GET /v1/client/fs/logs/{}?task=server&type=stdout&follow=true HTTP/1.1\r\n\r\n",
                            node_.alloc));
    stream.receive("\r\n\r\n");
    auto since = mono_now();
    server_->stop();
    EXPECT_LT(mono_now() - since, 5 * kSecond);
    EXPECT_TRUE(cluster_.wait_for_cancels(1));
    EXPECT_TRUE(node_.stream_ended);
    EXPECT_EQ(blocked.receive(), "");
}

TEST_F(HttpServerTest, ConnectionsPerClientAreLimited) {
    HttpLimits limits;
    limits.connections_per_client_max = 2;
    start(limits);
    Wire a(server_->port());
    Wire b(server_->port());
    a.send("GET /v1/regions HTTP/1.1\r\n\r\n");
    b.send("GET /v1/regions HTTP/1.1\r\n\r\n");
    EXPECT_HAS(a.receive("global\"]"), "200 OK");
    EXPECT_HAS(b.receive("global\"]"), "200 OK");
    Wire c(server_->port());
    EXPECT_HAS(c.receive(), "HTTP/1.1 429 Too Many Requests");
    a.close();
    // The place is free again as soon as the server has noticed.
    std::string answer;
    for (auto deadline = mono_now() + 10 * kSecond;
         mono_now() < deadline && answer.find("200 OK") == std::string::npos;)
        answer = get("/v1/regions");
    EXPECT_HAS(answer, "200 OK");
}

TEST_F(HttpServerTest, LogsAreFramesOrPlainText) {
    node_.log_pieces = {"hello ", "world\n"};
    start();
    auto path = "/v1/client/fs/logs/" + node_.alloc;
    auto frames = get(path + "?task=server&type=stdout");
    EXPECT_HAS(frames, "Transfer-Encoding: chunked");
    EXPECT_HAS(frames, R"({"Data":"aGVsbG8g","File":"alloc/logs/web.stdout.0","Offset":6})");
    auto plain = get(path + "?task=server&type=stdout&plain=true");
    EXPECT_HAS(plain, "hello ");
    EXPECT_HAS(plain, "world\n");
    EXPECT_HAS(get(path + "?task=nosuch&type=stdout"), "unknown task name \"nosuch\"");
    EXPECT_HAS(get(path + "?task=server&type=both"), "HTTP/1.1 400 ");
    EXPECT_HAS(get(path + "?type=stdout"), "must provide task name");
    EXPECT_HAS(ask(fmt::format("GET {}?task=server&type=stdout&plain=true HTTP/1.0\r\n\r\n", path)),
               "\r\n\r\nhello world\n");
}

TEST_F(HttpServerTest, AFollowerThatLeavesEndsItsStream) {
    start();
    Wire wire(server_->port());
    wire.send(fmt::format("GET /v1/client/fs/logs/{}?task=server&type=stdout&follow=true HTTP/1.1\r\n\r\n",
                          node_.alloc));
    EXPECT_HAS(wire.receive("{}"), "200 OK");
    wire.close();
    for (auto deadline = mono_now() + 10 * kSecond; mono_now() < deadline && !node_.stream_ended;)
        std::this_thread::yield();
    EXPECT_TRUE(node_.stream_ended);
}

TEST_F(HttpServerTest, FilesAreSentWholeOrInPart) {
    char name[] = "/tmp/drover-api-test-XXXXXX";
    UniqueFd fd(::mkstemp(name));
    std::string content;
    for (int i = 0; i < 50'000; ++i) content += fmt::format("{}\n", i);
    ASSERT_TRUE(write_all(fd.get(), content));
    node_.file_path = name;
    start();
    auto client = Client::create({.address = "http://" + server_->addresses()[0]});
    auto whole = client->get("/v1/client/fs/cat/" + node_.alloc, {{"path", "x"}});
    ASSERT_TRUE(whole) << whole.error().message();
    EXPECT_EQ(whole->body, content);
    auto part =
        client->get("/v1/client/fs/readat/" + node_.alloc, {{"path", "x"}, {"offset", "10"}, {"limit", "7"}});
    EXPECT_EQ(part->body, content.substr(10, 7));
    EXPECT_EQ(client->get("/v1/client/fs/readat/" + node_.alloc, {{"path", "x"}}).error().code(),
              Code::InvalidArgument);
    EXPECT_EQ(client->get("/v1/client/fs/cat/" + node_.alloc).error().message(),
              "Unexpected response code: 400 (must provide a file name)");
    ::unlink(name);
}

TEST_F(HttpServerTest, RequestsForAnotherNodesAllocationArePassedOn) {
    node_.log_pieces = {"from afar\n"};
    start();
    FakeNode other;
    other.id = "20afdaaf-e901-6fb6-343b-4660623ba6f6";
    other.alloc = "none";
    cluster_.on<cluster::AllocGetRequest, cluster::AllocGetResponse>(
        "Alloc.Get", [&](const auto& request) -> Result<cluster::AllocGetResponse> {
            cluster::AllocGetResponse response;
            if (request.alloc_id() != node_.alloc) return make_error(Code::NotFound, "alloc not found");
            response.mutable_alloc()->set_node_id(node_.id);
            return response;
        });
    cluster_.on<cluster::NodeGetRequest, cluster::NodeGetResponse>(
        "Node.Get", [&](const auto&) -> Result<cluster::NodeGetResponse> {
            cluster::NodeGetResponse response;
            response.mutable_node()->set_http_addr(server_->addresses()[0]);
            return response;
        });
    HttpOptions options;
    options.bind = {"127.0.0.1:0"};
    options.cluster = &cluster_;
    options.node = &other;
    auto second = HttpServer::start(std::move(options));
    ASSERT_TRUE(second);
    auto client = Client::create({.address = "http://" + (*second)->addresses()[0]});
    auto logs = client->get("/v1/client/fs/logs/" + node_.alloc,
                            {{"task", "server"}, {"type", "stdout"}, {"plain", "true"}});
    ASSERT_TRUE(logs) << logs.error().message();
    EXPECT_EQ(logs->body, "from afar\n");
    EXPECT_EQ(client->get("/v1/client/fs/logs/" + node_.alloc, {{"task", "zz"}, {"type", "stdout"}})
                  .error()
                  .message(),
              "Unexpected response code: 400 (unknown task name \"zz\")");
    auto unknown = client->get("/v1/client/allocation/bd34693a-edfb-1f28-d9c1-352f533970bb/stats");
    EXPECT_EQ(unknown.error().message(), "Unexpected response code: 404 (alloc not found)");
    EXPECT_TRUE(client->put(fmt::format("/v1/client/allocation/{}/signal", node_.alloc),
                            R"({"Signal":"SIGUSR1","Task":"server"})"));
    EXPECT_EQ(node_.last_call, "signal server SIGUSR1");
}

TEST_F(HttpServerTest, ListensOnAPrivateUnixSocket) {
    auto path = fmt::format("/tmp/drover-api-test-{}.sock", ::getpid());
    HttpOptions options;
    options.bind = {"unix://" + path};
    options.cluster = &cluster_;
    auto server = HttpServer::start(options);
    ASSERT_TRUE(server) << server.error().message();
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
    auto client = Client::create({.address = "unix://" + path});
    EXPECT_TRUE(client->get("/v1/jobs"));
    EXPECT_EQ(HttpServer::start(options).error().code(), Code::AlreadyExists);  // it is alive: not taken over
    (*server)->stop();
    EXPECT_FALSE(path_exists(path));
    auto refused = client->get("/v1/jobs");
    EXPECT_EQ(refused.error().message(),
              fmt::format("Get \"unix://{}/v1/jobs\": dial unix {}: connect: no such file or directory", path,
                          path));
}

TEST_F(HttpServerTest, ABusyPortIsNamed) {
    start();
    HttpOptions options;
    options.bind = {server_->addresses()[0]};
    options.cluster = &cluster_;
    auto second = HttpServer::start(std::move(options));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), Code::AlreadyExists);
    EXPECT_HAS(second.error().message(), server_->addresses()[0]);
}

TEST_F(HttpServerTest, MonitorSendsLogLines) {
    start();
    log::configure({.level = log::Level::Off});
    Wire wire(server_->port());
    wire.send("GET /v1/agent/monitor?log_level=debug&plain=true HTTP/1.1\r\n\r\n");
    wire.receive("\r\n\r\n");
    std::string seen;
    // The tap is set just after the head is sent.
    for (auto deadline = mono_now() + 10 * kSecond; mono_now() < deadline && seen.empty();) {
        log::info("test", "a line of the log");
        pollfd none{-1, 0, 0};
        ::poll(&none, 1, 10);
        log::info("test", "a line of the log");
        seen = wire.receive("a line of the log");
    }
    EXPECT_HAS(seen, "a line of the log");
    EXPECT_HAS(get("/v1/agent/monitor?log_level=loud"), "Unknown log level");
}

TEST(Client, AddressesThatAreNone) {
    auto text = [](std::string address) {
        return Client::create({.address = std::move(address)}).error().message();
    };
    EXPECT_EQ(text("127.0.0.1:4646"),
              "invalid address '127.0.0.1:4646': parse \"127.0.0.1:4646\": first path segment in URL cannot "
              "contain colon");
    EXPECT_HAS(text("ftp://x"), "unsupported scheme");
    EXPECT_HAS(text("http://:80"), "host is missing");
    EXPECT_HAS(text("http://x:99999"), "invalid port");
    EXPECT_HAS(text("localhost"), "a URL like");
}

TEST(Client, RefusedConnectionsReadAsInGo) {
    auto client = Client::create({.address = "http://127.0.0.1:1"});
    EXPECT_EQ(client->get("/v1/jobs").error().message(),
              "Get \"http://127.0.0.1:1/v1/jobs\": dial tcp 127.0.0.1:1: connect: connection refused");
}

}  // namespace
}  // namespace drover::api
