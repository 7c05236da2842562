// SPDX-License-Identifier: Apache-2.0
// Endpoints: every rpc of cluster.proto by its descriptor, whoever calls: the same process (ClusterPort) or
// gRPC. Reads may block until their index moves; writes answer when their log entry is applied. Each service
// registers its methods in a file of its own (job_endpoint.cpp, ...).
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "ports/cluster_port.h"
#include "proto/cluster/cluster.pb.h"
#include "server-lite/core.h"
#include "server-lite/rpc/filter.h"

namespace drover::server {

class Endpoints final : public ports::ClusterPort {
 public:
    using Keys = std::vector<std::string>;

    explicit Endpoints(Core& core);
    ~Endpoints() override;
    void call(const google::protobuf::MethodDescriptor& method, std::shared_ptr<const Message> request,
              Done done, std::shared_ptr<ports::CancelToken> cancel) override;
    void stop();  // what waits is answered with Cancelled, and what comes later too

    // A read: `answer` fills the response from a snapshot and says at which index it last changed. It is
    // asked again when one of `keys` changes, as long as the index is not past the caller's. NotFound waits
    // too, unless told otherwise.
    enum class Missing { Waits, Answers };
    template <class Request, class Response>
    void read(std::string_view name, std::function<Keys(const Request&)> keys,
              std::function<Result<uint64_t>(const Request&, const State&, Response&)> answer,
              Missing missing = Missing::Waits);
    // A write, or anything that answers when it likes.
    template <class Request, class Response>
    void write(
        std::string_view name,
        std::function<void(std::shared_ptr<const Request>, std::function<void(Result<Response>)>)> act);

    Core& core() { return core_; }

 private:
    struct Waiting;
    struct Reader {
        std::function<Keys(const Message&)> keys;
        std::function<Result<uint64_t>(const Message&, const State&, Message&)> answer;
        std::function<std::unique_ptr<Message>(const Message&)> make;
        std::function<const cluster::QueryOptions&(const Message&)> query;
        std::function<void(Message&, uint64_t index)> meta;
        Missing missing = Missing::Waits;
    };
    using Writer = std::function<void(std::shared_ptr<const Message>, Done)>;

    void run(const std::shared_ptr<Waiting>& waiting);
    void finish(const std::shared_ptr<Waiting>& waiting, Result<std::unique_ptr<Message>> result);

    Core& core_;
    std::unordered_map<const google::protobuf::MethodDescriptor*, Reader> readers_;
    std::unordered_map<const google::protobuf::MethodDescriptor*, Writer> writers_;
    std::mutex mutex_;
    bool stopped_ = false;
    std::unordered_set<std::shared_ptr<Waiting>> waiting_;
};

// ---- what the endpoint files share
// -----------------------------------------------------------------------------------

void register_job_endpoints(Endpoints& endpoints);
void register_eval_endpoints(Endpoints& endpoints);
void register_alloc_endpoints(Endpoints& endpoints);
void register_node_endpoints(Endpoints& endpoints);
void register_cluster_endpoints(Endpoints& endpoints);

template <class Options>
std::string namespace_of(const Options& options) {
    return options.namespace_().empty() ? "default" : options.namespace_();
}

// The items of a list that the query wants: prefix, order, page. Items come as (token, id, value) in the
// list's order.
template <class T>
struct Item {
    std::string token, id;
    T value;
};
// `view` makes the message that a filter looks at.
template <class T, class View>
Result<std::vector<T>> page_of(std::vector<Item<T>> items, const cluster::QueryOptions& query,
                               cluster::QueryMeta& meta, View&& view);
// "<create index>.<id>", with the number padded so that text order is number order inside the server.
std::string index_token(uint64_t create_index, std::string_view id);

// ---- templates
// -------------------------------------------------------------------------------------------------------

template <class Request, class Response>
void Endpoints::read(std::string_view name, std::function<Keys(const Request&)> keys,
                     std::function<Result<uint64_t>(const Request&, const State&, Response&)> answer,
                     Missing missing) {
    Reader reader;
    reader.missing = missing;
    reader.keys = [keys = std::move(keys)](const Message& m) { return keys(static_cast<const Request&>(m)); };
    reader.answer = [answer = std::move(answer)](const Message& m, const State& state, Message& out) {
        return answer(static_cast<const Request&>(m), state, static_cast<Response&>(out));
    };
    reader.make = [](const Message&) -> std::unique_ptr<Message> { return std::make_unique<Response>(); };
    reader.query = [](const Message& m) -> const cluster::QueryOptions& {
        return static_cast<const Request&>(m).query();
    };
    reader.meta = [](Message& m, uint64_t index) {
        auto& meta = *static_cast<Response&>(m).mutable_meta();
        meta.set_index(index);
        meta.set_known_leader(true);
    };
    readers_.emplace(&ports::cluster_method(name), std::move(reader));
}

template <class Request, class Response>
void Endpoints::write(
    std::string_view name,
    std::function<void(std::shared_ptr<const Request>, std::function<void(Result<Response>)>)> act) {
    writers_.emplace(&ports::cluster_method(name), [act = std::move(act)](
                                                       std::shared_ptr<const Message> request, Done done) {
        act(std::static_pointer_cast<const Request>(request),
            [done = std::move(done)](Result<Response> result) {
                if (!result) return done(std::move(result).error());
                done(std::unique_ptr<Message>(std::make_unique<Response>(std::move(*result))));
            });
    });
}

template <class T, class View>
Result<std::vector<T>> page_of(std::vector<Item<T>> items, const cluster::QueryOptions& query,
                               cluster::QueryMeta& meta, View&& view) {
    DROVER_TRY(const auto filter, Filter::parse(query.filter()));
    if (query.reverse()) std::reverse(items.begin(), items.end());
    std::vector<T> out;
    bool started = query.next_token().empty();
    for (auto& item : items) {
        if (!std::string_view(item.id).starts_with(query.prefix())) continue;
        if (!started)
            started = query.reverse() ? item.token <= query.next_token() : item.token >= query.next_token();
        if (!started) continue;
        if (!query.filter().empty()) {
            DROVER_TRY(const bool wanted, filter.matches(view(item.value)));
            if (!wanted) continue;
        }
        if (query.per_page() > 0 && out.size() == static_cast<size_t>(query.per_page())) {
            meta.set_next_token(item.token);
            break;
        }
        out.push_back(std::move(item.value));
    }
    return out;
}

}  // namespace drover::server
