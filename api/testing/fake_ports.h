// SPDX-License-Identifier: Apache-2.0
// A cluster and a node for tests: answers by method name, from functions that the test gives. What has no
// function is Unimplemented. Used by the tests of api/ and cli/.
#pragma once
#include <fcntl.h>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "ports/cluster_port.h"
#include "ports/node_port.h"
#include "proto/cluster/cluster.pb.h"
#include "proto/model/model.pb.h"

namespace drover::api::testing {

class FakeCluster final : public ports::ClusterPort {
 public:
    template <class Request, class Response>
    void on(const std::string& method, std::function<Result<Response>(const Request&)> answer) {
        std::lock_guard lock(mutex_);
        answers_[method] = [answer](const Message& request) -> Result<std::unique_ptr<Message>> {
            DROVER_TRY(auto response, answer(static_cast<const Request&>(request)));
            return std::unique_ptr<Message>(std::make_unique<Response>(std::move(response)));
        };
    }
    // Calls of this method wait until they are cancelled.
    void hold(const std::string& method) {
        std::lock_guard lock(mutex_);
        held_[method] = true;
    }
    bool wait_for_calls(int count) {
        return wait([&] { return calls >= count; });
    }
    bool wait_for_cancels(int count) {
        return wait([&] { return cancels >= count; });
    }

    void call(const google::protobuf::MethodDescriptor& method, std::shared_ptr<const Message> request,
              Done done, std::shared_ptr<ports::CancelToken> cancel) override {
        auto name = method.full_name().substr(std::string_view("drover.cluster.").size());
        std::function<Result<std::unique_ptr<Message>>(const Message&)> answer;
        bool held = false;
        {
            std::lock_guard lock(mutex_);
            ++calls;
            last_request = request->ShortDebugString();
            if (auto it = answers_.find(name); it != answers_.end()) answer = it->second;
            held = held_.count(name) > 0;
            changed_.notify_all();
        }
        if (held && cancel) {
            cancel->on_cancel([this, done = std::move(done)] {
                {
                    std::lock_guard lock(mutex_);
                    ++cancels;
                    changed_.notify_all();
                }
                done(make_error(Code::Cancelled, "cancelled"));
            });
            return;
        }
        if (!answer) return done(make_error(Code::Unimplemented, "{} is not faked", name));
        done(answer(*request));
    }

    std::string last() {
        std::lock_guard lock(mutex_);
        return last_request;
    }

    int calls = 0;  // both under the mutex; read through the wait functions
    int cancels = 0;
    std::string last_request;

 private:
    template <class Condition>
    bool wait(Condition condition) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(10), condition);
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, std::function<Result<std::unique_ptr<Message>>(const Message&)>> answers_;
    std::map<std::string, bool> held_;
};

// Frames given by the test, then either the end or heartbeats until it is cancelled.
class FakeFrames final : public ports::FrameStream {
 public:
    FakeFrames(std::vector<std::string> data, bool follow) : data_(std::move(data)), follow_(follow) {}
    ~FakeFrames() override {
        if (ended) ended->store(true);
    }
    Result<std::unique_ptr<model::StreamFrame>> next() override {
        std::unique_lock lock(mutex_);
        auto frame = std::make_unique<model::StreamFrame>();
        if (at_ < data_.size()) {
            frame->set_file("alloc/logs/web.stdout.0");
            frame->set_data(data_[at_++]);
            offset_ += static_cast<int64_t>(frame->data().size());
            frame->set_offset(offset_);
            return frame;
        }
        if (!follow_) return make_error(Code::OutOfRange, "end");
        wake_.wait_for(lock, std::chrono::milliseconds(20), [&] { return cancelled_; });
        if (cancelled_) return make_error(Code::Cancelled, "cancelled");
        return frame;
    }
    void cancel() override {
        std::lock_guard lock(mutex_);
        cancelled_ = true;
        wake_.notify_all();
    }
    std::atomic<bool>* ended = nullptr;

 private:
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::string> data_;
    const bool follow_;
    size_t at_ = 0;
    int64_t offset_ = 0;
    bool cancelled_ = false;
};

class FakeNode final : public ports::NodePort {
 public:
    std::string id = "c91e127f-c5d1-de17-2128-7249f27d5090";
    std::string alloc = "9709b689-6d2d-3a99-bb59-7dec73d85d9a";
    std::string file_path;  // what open_file opens
    std::vector<std::string> log_pieces;
    std::vector<model::AllocFileInfo> files;
    model::AllocResourceUsage usage;
    model::HostStats host;
    std::string plugins = "{\"Drivers\":{},\"Plugins\":[]}";
    std::map<std::string, std::map<std::string, std::string>> sections;
    std::atomic<bool> stream_ended{false};
    std::string last_call;

    std::string node_id() const override { return id; }
    bool has_alloc(const std::string& alloc_id) const override { return alloc_id == alloc; }
    Result<std::vector<model::AllocFileInfo>> list_files(const std::string&, const std::string&) override {
        return files;
    }
    Result<model::AllocFileInfo> stat_file(const std::string&, const std::string& path) override {
        for (const auto& file : files)
            if (file.name() == path) return file;
        model::AllocFileInfo root;
        root.set_is_dir(true);
        root.set_name(path);
        if (path == "/") return root;
        return make_error(Code::NotFound, "stat {}: no such file or directory", path);
    }
    Result<UniqueFd> open_file(const std::string&, const std::string& path) override {
        UniqueFd fd(::open(file_path.c_str(), O_RDONLY | O_CLOEXEC));
        if (!fd) return Error::from_errno(fmt::format("open {}", path));
        return fd;
    }
    Result<std::unique_ptr<ports::FrameStream>> stream_file(const std::string&, const std::string&,
                                                            const std::string&, int64_t,
                                                            bool follow) override {
        return frames(follow);
    }
    Result<std::unique_ptr<ports::FrameStream>> stream_logs(const ports::LogRequest& request) override {
        if (request.task != "server")
            return make_error(Code::InvalidArgument, "unknown task name \"{}\"", request.task);
        return frames(request.follow);
    }
    Result<model::AllocResourceUsage> alloc_stats(const std::string&, const std::string&) override {
        return usage;
    }
    Result<model::HostStats> host_stats() override { return host; }
    Status restart_alloc(const std::string&, const std::string& task, bool all) override {
        last_call = fmt::format("restart {} {}", task, all);
        return {};
    }
    Status signal_alloc(const std::string&, const std::string& task, const std::string& signal) override {
        last_call = fmt::format("signal {} {}", task, signal);
        return {};
    }
    Status collect_alloc(const std::string&) override { return {}; }
    Status collect_all() override { return {}; }
    std::map<std::string, std::map<std::string, std::string>> stats() const override { return sections; }
    std::string plugin_status_json() const override { return plugins; }

 private:
    Result<std::unique_ptr<ports::FrameStream>> frames(bool follow) {
        auto stream = std::make_unique<FakeFrames>(log_pieces, follow);
        stream->ended = &stream_ended;
        return std::unique_ptr<ports::FrameStream>(std::move(stream));
    }
};

}  // namespace drover::api::testing
