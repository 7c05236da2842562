// SPDX-License-Identifier: Apache-2.0
// The WebSocket of exec: the real server and the real client (ExecCall) with a session in memory between
// them.
#include "api/client/exec_call.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <condition_variable>

#include "api/exec_frames.h"
#include "api/http_server.h"
#include "api/testing/fake_ports.h"
#include "base/clock.h"
#include "base/log.h"

namespace drover::api {
namespace {

using testing::FakeCluster;
using testing::FakeNode;

// A program in memory: echoes its stdin, ends at the end of it with code 7; "fail" fails, "hold" never takes
// input.
struct Program {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::string> seen;
    std::deque<ports::ExecOutput> out;
    std::function<void(Result<ports::ExecOutput>)> reading;
    std::vector<std::function<void(Status)>> held;
    bool cancelled = false;
    std::string command;

    bool wait_for(const std::function<bool()>& condition) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, std::chrono::seconds(10), condition);
    }
    void emit(ports::ExecOutput output) {  // with the mutex held
        if (reading)
            std::thread([done = std::exchange(reading, nullptr), output] { done(output); }).detach();
        else
            out.push_back(std::move(output));
    }
};

class FakeSession final : public ports::ExecSession {
 public:
    explicit FakeSession(std::shared_ptr<Program> program) : program_(std::move(program)) {}
    ~FakeSession() override { FakeSession::cancel(); }
    void read(std::function<void(Result<ports::ExecOutput>)> done) override {
        std::lock_guard lock(program_->mutex);
        if (program_->command == "fail")
            return std::thread(
                       [done] { done(make_error(Code::Unknown, "failed to start command: {}", "no file")); })
                .detach();
        program_->reading = std::move(done);
        if (program_->out.empty()) return;
        auto next = std::move(program_->out.front());
        program_->out.pop_front();
        program_->emit(std::move(next));
    }
    void write(ports::ExecInput input, std::function<void(Status)> done) override {
        std::lock_guard lock(program_->mutex);
        if (input.size) program_->seen.push_back(fmt::format("{}x{}", input.size->rows, input.size->columns));
        if (!input.stdin_bytes.empty()) {
            program_->seen.push_back(input.stdin_bytes);
            program_->emit({.stdout_bytes = input.stdin_bytes});
        }
        if (input.stdin_closed) program_->emit({.stdout_closed = true, .exit_code = 7});
        program_->changed.notify_all();
        if (program_->command == "hold")
            program_->held.push_back(std::move(done));
        else
            std::thread([done] { done({}); }).detach();
    }
    void cancel() override {
        std::function<void(Result<ports::ExecOutput>)> reading;
        std::vector<std::function<void(Status)>> held;
        {
            std::lock_guard lock(program_->mutex);
            program_->cancelled = true;
            reading = std::exchange(program_->reading, nullptr);
            held.swap(program_->held);
            program_->changed.notify_all();
        }
        std::thread([reading, held] {
            if (reading) reading(make_error(Code::Cancelled, "cancelled"));
            for (const auto& done : held) done(make_error(Code::Cancelled, "cancelled"));
        }).detach();
    }

 private:
    const std::shared_ptr<Program> program_;
};

class ExecSocketTest : public ::testing::Test {
 protected:
    void SetUp() override {
        log::configure({.level = log::Level::Off});
        node_.on_exec =
            [this](const ports::ExecRequest& request) -> Result<std::unique_ptr<ports::ExecSession>> {
            if (request.command[0] == "ended")
                return make_error(Code::FailedPrecondition, "task is not running.");
            program_->command = request.command[0];
            return std::unique_ptr<ports::ExecSession>(std::make_unique<FakeSession>(program_));
        };
        server_ = start(&node_);
    }
    std::unique_ptr<HttpServer> start(ports::NodePort* node) {
        HttpOptions options;
        options.bind = {"127.0.0.1:0"};
        options.cluster = &cluster_;
        options.node = node;
        auto server = HttpServer::start(std::move(options));
        EXPECT_TRUE(server) << server.error().message();
        return std::move(*server);
    }
    static Client client_of(const HttpServer& server) {
        ClientOptions options;
        options.address = "http://" + server.addresses()[0];
        return std::move(*Client::create(options));
    }
    ports::ExecRequest request(const std::string& command, bool tty = false) {
        return {node_.alloc, "server", {command, "a b"}, tty};
    }
    // Sends the inputs and returns all stdout with "=CODE" or "!error".
    std::string run(const HttpServer& server, const ports::ExecRequest& what,
                    std::vector<ports::ExecInput> inputs) {
        auto client = client_of(server);
        boost::asio::io_context io;
        auto call = ExecCall::open(client, what, io);
        if (!call) return "!" + call.error().message();
        std::string got;
        (*call)->start({[&](const ports::ExecOutput& output) { got += output.stdout_bytes; },
                        [&](Result<int> code) {
                            got += code ? fmt::format("={}", *code) : "!" + code.error().message();
                            io.stop();
                        }});
        for (auto& input : inputs) (*call)->send(std::move(input), nullptr);
        io.run_for(std::chrono::seconds(10));
        return got;
    }

    FakeCluster cluster_;
    FakeNode node_;
    std::shared_ptr<Program> program_ = std::make_shared<Program>();
    std::unique_ptr<HttpServer> server_;
};

TEST_F(ExecSocketTest, InputOutputAndExitCode) {
    EXPECT_EQ(run(*server_, request("cat"), {{.stdin_bytes = "hello"}, {.stdin_closed = true}}), "hello=7");
    EXPECT_TRUE(program_->wait_for([&] { return program_->cancelled; }));  // the session was let go of
}

TEST_F(ExecSocketTest, SizesGoToTerminalsOnly) {
    EXPECT_EQ(run(*server_, request("cat"), {{.size = ports::WindowSize{24, 80}}, {.stdin_closed = true}}),
              "=7");
    EXPECT_TRUE(program_->seen.empty());
    EXPECT_EQ(
        run(*server_, request("cat", true), {{.size = ports::WindowSize{24, 80}}, {.stdin_closed = true}}),
        "=7");
    EXPECT_EQ(program_->seen, std::vector<std::string>{"24x80"});
}

TEST_F(ExecSocketTest, ErrorsComeAsText) {
    EXPECT_EQ(run(*server_, request("fail"), {}),
              "!rpc error: code = Unknown desc = failed to start command: no file");
    EXPECT_EQ(run(*server_, request("ended"), {}), "!task is not running.");
    auto wrong = request("cat");
    wrong.task.clear();
    EXPECT_EQ(run(*server_, wrong, {}), "!Unexpected response code: 400 (missing task parameter)");
    wrong = request("cat");
    wrong.command.clear();
    EXPECT_EQ(run(*server_, wrong, {}), "!Unexpected response code: 400 (missing command)");
    auto client = client_of(*server_);
    auto plain =
        client.get(fmt::format("/v1/client/allocation/{}/exec?task=a&command=%5B%22x%22%5D", node_.alloc));
    ASSERT_FALSE(plain);
    EXPECT_EQ(plain.error().code(), Code::InvalidArgument);
}

TEST_F(ExecSocketTest, ALostClientEndsTheProgramAlsoWhileItTakesNoInput) {
    for (const char* command : {"cat", "hold"}) {
        program_ = std::make_shared<Program>();
        auto client = client_of(*server_);
        boost::asio::io_context io;
        auto call = ExecCall::open(client, request(command), io);
        ASSERT_TRUE(call) << call.error().message();
        (*call)->start({[](const ports::ExecOutput&) {}, [](Result<int>) {}});
        // More than the buffers on the way take, when it is not taken: the end of the connection queues behind it.
        const std::string piece(kExecPieceBytes, 'x');
        for (int i = 0; i < 350; ++i) (*call)->send({.stdin_bytes = piece}, nullptr);
        io.run_for(std::chrono::milliseconds(500));
        ASSERT_TRUE(program_->wait_for([&] { return !program_->seen.empty(); })) << command;
        (*call)->close();
        EXPECT_TRUE(program_->wait_for([&] { return program_->cancelled; })) << command;
    }
}

TEST_F(ExecSocketTest, AStoppingServerEndsTheSession) {
    auto client = client_of(*server_);
    boost::asio::io_context io;
    auto call = ExecCall::open(client, request("cat"), io);
    ASSERT_TRUE(call) << call.error().message();
    std::string error;
    (*call)->start({[](const ports::ExecOutput&) {},
                    [&](Result<int> code) {
                        error = code ? "exit" : code.error().message();
                        io.stop();
                    }});
    (*call)->send({.stdin_bytes = "x"}, nullptr);
    std::thread loop([&] { io.run_for(std::chrono::seconds(10)); });
    EXPECT_TRUE(program_->wait_for([&] { return !program_->seen.empty(); }));
    server_->stop();
    EXPECT_TRUE(program_->wait_for([&] { return program_->cancelled; }));
    loop.join();
    EXPECT_NE(error.find("the connection was lost before the exit code came"), std::string::npos) << error;
}

TEST_F(ExecSocketTest, AnAgentWithoutTheAllocationPassesItOn) {
    FakeNode other;
    other.id = "11111111-c5d1-de17-2128-7249f27d5090";
    other.alloc = "22222222-6d2d-3a99-bb59-7dec73d85d9a";
    cluster_.on<cluster::AllocGetRequest, cluster::AllocGetResponse>(
        "Alloc.Get", [&](const auto&) -> Result<cluster::AllocGetResponse> {
            cluster::AllocGetResponse response;
            response.mutable_alloc()->set_node_id(node_.id);
            return response;
        });
    cluster_.on<cluster::NodeGetRequest, cluster::NodeGetResponse>(
        "Node.Get", [&](const auto&) -> Result<cluster::NodeGetResponse> {
            cluster::NodeGetResponse response;
            response.mutable_node()->set_http_addr(server_->addresses()[0]);
            return response;
        });
    auto entry = start(&other);
    std::string big(300'000, 'x');
    std::vector<ports::ExecInput> inputs;
    for (size_t at = 0; at < big.size(); at += kExecPieceBytes)
        inputs.push_back({.stdin_bytes = big.substr(at, kExecPieceBytes)});
    inputs.push_back({.stdin_closed = true});
    EXPECT_EQ(run(*entry, request("cat"), inputs), big + "=7");
    EXPECT_EQ(run(*entry, request("fail"), {}),
              "!rpc error: code = Unknown desc = failed to start command: no file");
    auto wrong = request("cat");
    wrong.command = {""};
    EXPECT_EQ(run(*entry, wrong, {}), "!Unexpected response code: 400 (missing command)");
}

}  // namespace
}  // namespace drover::api
