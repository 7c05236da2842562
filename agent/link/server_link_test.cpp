// SPDX-License-Identifier: Apache-2.0
// Goal: no update is lost, whatever the servers answer; the list of allocations is followed; NotFound
// registers again. Method: a ClusterPort whose answers the test scripts, on real (short) timers.
#include "agent/link/server_link.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <thread>

#include "base/clock.h"
#include "base/log.h"

namespace drover::agent {
namespace {

class FakeCluster : public ports::ClusterPort {
 public:
    void call(const google::protobuf::MethodDescriptor& method, std::shared_ptr<const Message> request,
              Done done, std::shared_ptr<ports::CancelToken> cancel) override {
        std::unique_lock lock(mutex);
        const std::string name(method.name());
        ++counts[name];
        changed.notify_all();
        if (failing.contains(name)) {
            const Error error = failing.at(name);
            lock.unlock();
            return done(error);
        }
        if (name == "Register" || name == "UpdateStatus") {
            auto response = std::make_unique<cluster::NodeHeartbeatResponse>();
            response->set_heartbeat_ttl_ns(ttl_ns);
            lock.unlock();
            return done(std::unique_ptr<Message>(std::move(response)));
        }
        if (name == "GetClientAllocs") {
            const auto min_index =
                static_cast<const cluster::NodeClientAllocsRequest&>(*request).query().min_index();
            if (min_index >= index) {  // blocks until set_allocs or cancel
                waiting = std::move(done);
                lock.unlock();
                cancel->on_cancel([this] {
                    std::unique_lock inner(mutex);
                    auto blocked = std::exchange(waiting, nullptr);
                    inner.unlock();
                    if (blocked) blocked(make_error(Code::Cancelled, "cancelled"));
                });
                return;
            }
            auto response = list();
            lock.unlock();
            return done(std::unique_ptr<Message>(std::move(response)));
        }
        if (name == "GetMany") {
            auto response = std::make_unique<cluster::AllocGetManyResponse>();
            for (const auto& id : static_cast<const cluster::AllocGetManyRequest&>(*request).alloc_ids()) {
                response->add_allocs()->set_id(id);
            }
            lock.unlock();
            return done(std::unique_ptr<Message>(std::move(response)));
        }
        ASSERT_EQ(name, "UpdateAllocs");
        for (const auto& alloc : static_cast<const cluster::NodeUpdateAllocsRequest&>(*request).allocs()) {
            got[alloc.id()].push_back(alloc.client_status());
        }
        changed.notify_all();
        lock.unlock();
        done(std::unique_ptr<Message>(std::make_unique<cluster::NodeUpdateAllocsResponse>()));
    }

    std::unique_ptr<cluster::NodeClientAllocsResponse> list() {
        auto response = std::make_unique<cluster::NodeClientAllocsResponse>();
        response->mutable_meta()->set_index(index);
        for (const auto& [id, at] : allocs) (*response->mutable_allocs())[id] = at;
        return response;
    }

    void set_allocs(std::map<std::string, uint64_t> next) {
        std::unique_lock lock(mutex);
        allocs = std::move(next);
        ++index;
        auto blocked = std::exchange(waiting, nullptr);
        auto response = list();
        lock.unlock();
        if (blocked) blocked(std::unique_ptr<Message>(std::move(response)));
    }

    template <class Predicate>
    bool wait_until(Predicate predicate) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, std::chrono::seconds(10), predicate);
    }

    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::string, int> counts;
    std::map<std::string, Error> failing;
    std::map<std::string, std::vector<std::string>> got;
    std::map<std::string, uint64_t> allocs;
    uint64_t index = 1;
    int64_t ttl_ns = 10 * kSecond;
    Done waiting;
};

class ServerLinkTest : public testing::Test {
 protected:
    ServerLinkTest() : work_(boost::asio::make_work_guard(io_)) {
        log::set_level(log::Level::Off);
        thread_ = std::thread([this] { io_.run(); });
        ServerLink::Callbacks callbacks;
        callbacks.node = [] {
            auto node = std::make_shared<model::Node>();
            node->set_id("n1");
            return node;
        };
        callbacks.wanted = [this](const auto& list) {
            std::vector<std::string> ids;
            for (const auto& [id, at] : list) {
                if (known_[id] < at) ids.push_back(id);
            }
            return ids;
        };
        callbacks.apply = [this](const auto& list, std::vector<model::Allocation> allocs) {
            std::lock_guard lock(cluster_.mutex);
            for (const auto& [id, at] : list) known_[id] = at;
            for (const auto& alloc : allocs) fetched_.push_back(alloc.id());
            cluster_.changed.notify_all();
        };
        callbacks.acknowledged = [this](const std::string& id, const std::string& status) {
            std::lock_guard lock(cluster_.mutex);
            acknowledged_[id] = status;
            cluster_.changed.notify_all();
        };
        link_ = std::make_unique<ServerLink>(
            io_, cluster_, callbacks,
            ServerLink::Timing{.retry_min_ns = kMillisecond, .retry_max_ns = 10 * kMillisecond});
    }
    ~ServerLinkTest() override {
        link_.reset();
        work_.reset();
        thread_.join();
    }

    static model::Allocation alloc(const std::string& id, const std::string& status) {
        model::Allocation update;
        update.set_id(id);
        update.set_client_status(status);
        return update;
    }

    FakeCluster cluster_;
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    std::thread thread_;
    std::map<std::string, uint64_t> known_;
    std::vector<std::string> fetched_;
    std::map<std::string, std::string> acknowledged_;
    std::unique_ptr<ServerLink> link_;
};

TEST_F(ServerLinkTest, RegistersThenIsReadyThenFollowsTheList) {
    cluster_.allocs = {{"a", 1}};
    link_->start();
    ASSERT_TRUE(cluster_.wait_until([&] { return fetched_ == std::vector<std::string>{"a"}; }));
    cluster_.set_allocs({{"a", 1}, {"b", 2}});
    ASSERT_TRUE(cluster_.wait_until([&] { return fetched_ == std::vector<std::string>({"a", "b"}); }));
    EXPECT_EQ(cluster_.counts["Register"], 1);
    EXPECT_EQ(cluster_.counts["UpdateStatus"], 1);
    EXPECT_TRUE(link_->figures().registered);
}

TEST_F(ServerLinkTest, UpdatesWaitForTheFirstListAndTheNewestWins) {
    cluster_.failing.emplace("GetClientAllocs", make_error(Code::Unavailable, "no leader"));
    link_->update(alloc("a", "pending"));
    link_->update(alloc("a", "running"));
    link_->start();
    ASSERT_TRUE(cluster_.wait_until([&] { return cluster_.counts["GetClientAllocs"] > 2; }));
    {
        std::lock_guard lock(cluster_.mutex);
        EXPECT_TRUE(cluster_.got.empty());
        cluster_.failing.clear();
    }
    ASSERT_TRUE(cluster_.wait_until([&] { return acknowledged_["a"] == "running"; }));
    EXPECT_EQ(cluster_.got["a"], std::vector<std::string>{"running"});
}

TEST_F(ServerLinkTest, AnUpdateIsRepeatedUntilItIsAcknowledged) {
    link_->start();
    ASSERT_TRUE(cluster_.wait_until([&] { return cluster_.counts["GetClientAllocs"] > 0; }));
    {
        std::lock_guard lock(cluster_.mutex);
        cluster_.failing.emplace("UpdateAllocs", make_error(Code::Unavailable, "down"));
    }
    link_->update(alloc("a", "running"));
    ASSERT_TRUE(cluster_.wait_until([&] { return cluster_.counts["UpdateAllocs"] > 2; }));
    link_->update(alloc("a", "complete"));
    {
        std::lock_guard lock(cluster_.mutex);
        cluster_.failing.clear();
    }
    ASSERT_TRUE(cluster_.wait_until([&] { return acknowledged_["a"] == "complete"; }));
    EXPECT_EQ(cluster_.got["a"].back(), "complete");
}

TEST_F(ServerLinkTest, RegistersAgainWhenTheServersForgotTheNode) {
    cluster_.ttl_ns = kMillisecond;
    link_->start();
    ASSERT_TRUE(cluster_.wait_until([&] { return cluster_.counts["UpdateStatus"] > 0; }));
    {
        std::lock_guard lock(cluster_.mutex);
        cluster_.failing.emplace("UpdateStatus", make_error(Code::NotFound, "node not found"));
    }
    ASSERT_TRUE(cluster_.wait_until([&] { return cluster_.counts["Register"] > 2; }));
    {
        std::lock_guard lock(cluster_.mutex);
        cluster_.failing.clear();
    }
    const int beats = cluster_.counts["UpdateStatus"];
    ASSERT_TRUE(cluster_.wait_until([&] { return cluster_.counts["UpdateStatus"] > beats + 2; }));
}

TEST_F(ServerLinkTest, AChangedNodeIsRegisteredAgain) {
    link_->start();
    ASSERT_TRUE(cluster_.wait_until([&] { return cluster_.counts["UpdateStatus"] > 0; }));
    link_->node_changed();
    ASSERT_TRUE(cluster_.wait_until([&] { return cluster_.counts["Register"] == 2; }));
}

}  // namespace
}  // namespace drover::agent
