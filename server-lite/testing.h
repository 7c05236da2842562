// SPDX-License-Identifier: Apache-2.0
// For tests and benchmarks of the server: jobs, nodes, and a client that only says what it is told to. Never
// in a product.
#pragma once
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/uuid.h"
#include "ports/cluster_port.h"
#include "proto/cluster/cluster.pb.h"

namespace drover::server::testing {

template <class Response, class Request>
Response ask(ports::ClusterPort& port, std::string_view method, const Request& request) {
    auto response = ports::call_sync<Response>(port, method, request);
    if (!response) {
        fmt::print(stderr, "{}: {}\n", method, response.error().message());
        return Response();
    }
    return std::move(*response);
}

inline model::Job job(std::string id, std::string type, int64_t count) {
    model::Job job;
    job.set_id(id);
    job.set_name(id);
    job.set_type(std::move(type));
    job.add_datacenters("dc1");
    auto& group = *job.add_task_groups();
    group.set_name("g");
    group.set_count(count);
    auto& task = *group.add_tasks();
    task.set_name("t");
    task.set_driver("mock");
    (*task.mutable_config()->mutable_fields())["command"].set_string_value("/bin/true");
    task.mutable_resources()->set_cpu(10);
    task.mutable_resources()->set_memory_mb(10);
    return job;
}
inline model::Job batch_job(std::string id, int64_t count) {
    return job(std::move(id), "batch", count);
}
inline model::Job service_job(std::string id, int64_t count) {
    return job(std::move(id), "service", count);
}

inline model::Node node(std::string name = "n1") {
    model::Node node;
    node.set_id(new_uuid());
    node.set_secret_id(new_uuid());
    node.set_name(std::move(name));
    node.set_datacenter("dc1");
    node.set_node_pool("default");
    node.set_status("ready");
    (*node.mutable_attributes())["kernel.name"] = "linux";
    auto& driver = (*node.mutable_drivers())["mock"];
    driver.set_detected(true);
    driver.set_healthy(true);
    auto& resources = *node.mutable_node_resources();
    resources.mutable_cpu()->set_cpu_shares(1'000'000);
    resources.mutable_cpu()->set_total_cpu_cores(8);
    resources.mutable_memory()->set_memory_mb(1 << 19);
    resources.mutable_disk()->set_disk_mb(1 << 24);
    resources.set_min_dynamic_port(20000);
    resources.set_max_dynamic_port(32000);
    auto& network = *resources.add_node_networks();
    network.set_mode("host");
    network.set_device("eth0");
    auto& address = *network.add_addresses();
    address.set_alias("default");
    address.set_family("ipv4");
    address.set_address("192.0.2.1");
    return node;
}

// Polls its allocations on a thread of its own, as a real client does, and keeps the newest of each.
class FakeClient {
 public:
    explicit FakeClient(ports::ClusterPort& port) : node(testing::node()), port_(port) {}
    ~FakeClient() {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        if (cancel_) cancel_->cancel();
        if (poller_.joinable()) poller_.join();
    }

    bool register_node() {
        cluster::NodeRegisterRequest request;
        *request.mutable_node() = node;
        auto response = ports::call_sync<cluster::NodeHeartbeatResponse>(port_, "Node.Register", request);
        if (!response) return false;
        if (!poller_.joinable()) poller_ = std::thread([this] { poll(); });
        return true;
    }

    std::vector<model::Allocation> allocs() {
        std::lock_guard lock(mutex_);
        std::vector<model::Allocation> out;
        for (const auto& [id, alloc] : allocs_) out.push_back(alloc);
        return out;
    }
    // Times at which allocations were first seen (mono ns).
    std::vector<int64_t> seen_at() {
        std::lock_guard lock(mutex_);
        return seen_at_;
    }

    template <class Check>
    bool wait_until(Check&& check, int64_t limit = 10 * kSecond) {
        const int64_t end = mono_now() + limit;
        while (mono_now() < end) {
            if (check(allocs())) return true;
            std::unique_lock lock(mutex_);
            changed_.wait_for(lock, std::chrono::milliseconds(20));
        }
        return false;
    }
    std::vector<model::Allocation> wait_for_allocs(size_t count) {
        wait_until([&](const auto& all) { return all.size() >= count; });
        return allocs();
    }

    bool report(const std::vector<model::Allocation>& allocs, const std::string& status,
                int64_t finished_at = 0) {
        return send(allocs, [&](model::Allocation& a) {
            a.set_client_status(status);
            auto& task = (*a.mutable_task_states())["t"];
            task.set_state(status == "running" ? "running" : "dead");
            task.set_failed(status == "failed");
            task.set_finished_at(finished_at);
        });
    }
    bool report_healthy(const std::vector<model::Allocation>& allocs) {
        return send(allocs, [&](model::Allocation& a) {
            a.set_client_status("running");
            a.mutable_deployment_status()->set_healthy(true);
            a.mutable_deployment_status()->set_timestamp(unix_now());
        });
    }

    model::Node node;
    bool beat = false;  // heartbeats while it polls

 private:
    template <class Fill>
    bool send(const std::vector<model::Allocation>& allocs, Fill&& fill) {
        cluster::NodeUpdateAllocsRequest request;
        request.set_node_id(node.id());
        request.set_secret_id(node.secret_id());
        for (const auto& alloc : allocs) {
            auto& update = *request.add_allocs();
            update.set_id(alloc.id());
            fill(update);
        }
        auto response =
            ports::call_sync<cluster::NodeUpdateAllocsResponse>(port_, "Node.UpdateAllocs", request);
        return response.has_value();
    }

    void poll() {
        cluster::NodeClientAllocsRequest request;
        request.set_node_id(node.id());
        request.set_secret_id(node.secret_id());
        std::map<std::string, uint64_t> known;
        for (;;) {
            auto promise = std::make_shared<std::promise<Result<cluster::NodeClientAllocsResponse>>>();
            {
                std::lock_guard lock(mutex_);
                if (stopping_) return;
                cancel_ = std::make_shared<ports::CancelToken>();
            }
            if (beat) {
                cluster::NodeUpdateStatusRequest status;
                status.set_node_id(node.id());
                status.set_secret_id(node.secret_id());
                status.set_status("ready");
                (void)ports::call_sync<cluster::NodeHeartbeatResponse>(port_, "Node.UpdateStatus", status);
                request.mutable_query()->set_max_wait_ns(5 * kMillisecond);
            }
            ports::call<cluster::NodeClientAllocsResponse>(
                port_, "Node.GetClientAllocs", request,
                [promise](auto r) { promise->set_value(std::move(r)); }, cancel_);
            auto response = promise->get_future().get();
            if (!response) return;
            const int64_t now = mono_now();
            request.mutable_query()->set_min_index(response->meta().index());
            cluster::AllocGetManyRequest get;
            size_t fresh = 0;
            for (const auto& [id, index] : response->allocs()) {
                fresh += !known.contains(id);
                if (std::exchange(known[id], index) != index) get.add_alloc_ids(id);
            }
            if (get.alloc_ids().empty()) continue;
            auto allocs = ports::call_sync<cluster::AllocGetManyResponse>(port_, "Alloc.GetMany", get);
            if (!allocs) return;
            std::lock_guard lock(mutex_);
            for (auto& alloc : *allocs->mutable_allocs()) allocs_[alloc.id()] = alloc;
            seen_at_.insert(seen_at_.end(), fresh, now);
            changed_.notify_all();
        }
    }

    ports::ClusterPort& port_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, model::Allocation> allocs_;
    std::vector<int64_t> seen_at_;
    std::shared_ptr<ports::CancelToken> cancel_;
    bool stopping_ = false;
    std::thread poller_;
};

}  // namespace drover::server::testing
