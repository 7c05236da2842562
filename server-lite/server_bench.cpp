// SPDX-License-Identifier: Apache-2.0
// How long from Job.Register until a client's long poll sees the allocation, and how many placements a
// second, in one process over the ClusterPort. Usage: server_bench [directory]  (without one: in memory, as
// agent -dev).
#include <sys/resource.h>

#include "base/log.h"
#include "server-lite/server.h"
#include "server-lite/testing.h"

using namespace drover;
using namespace drover::server;

namespace {

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void submit(Server& server, const model::Job& job) {
    cluster::JobRegisterRequest request;
    *request.mutable_job() = job;
    auto response = ports::call_sync<cluster::JobRegisterResponse>(server.port(), "Job.Register", request);
    if (!response) abort_with(response.error().message(), __FILE__, __LINE__);
}

void latency(Server& server, testing::FakeClient& client) {
    constexpr int kJobs = 50;
    std::vector<double> ms;
    for (int i = 0; i < kJobs; ++i) {
        const size_t before = client.seen_at().size();
        const int64_t start = mono_now();
        submit(server, testing::batch_job(fmt::format("latency-{}", i), 1));
        client.wait_until([&](const auto& all) { return all.size() > before; });
        ms.push_back(static_cast<double>(client.seen_at().back() - start) / 1e6);
    }
    std::sort(ms.begin(), ms.end());
    fmt::print("register -> seen by the client: median {:.2f} ms, worst {:.2f} ms, of {}\n",
               ms[ms.size() / 2], ms.back(), kJobs);
}

void run_allocs(Server& server, testing::FakeClient& client, const char* what, int jobs, int64_t count) {
    const size_t before = client.seen_at().size();
    const size_t total = static_cast<size_t>(jobs) * static_cast<size_t>(count);
    const double cpu = cpu_seconds();
    const int64_t start = mono_now();
    for (int i = 0; i < jobs; ++i) submit(server, testing::batch_job(fmt::format("{}-{}", what, i), count));
    client.wait_until([&](const auto&) { return client.seen_at().size() >= before + total; }, 120 * kSecond);
    const double placed = static_cast<double>(mono_now() - start) / 1e9;
    std::vector<model::Allocation> batch;
    for (const auto& alloc : client.allocs()) {
        if (alloc.client_status() != "pending") continue;
        batch.push_back(alloc);
        if (batch.size() < 20) continue;
        client.report(batch, "running");
        client.report(batch, "complete");
        batch.clear();
    }
    client.report(batch, "complete");
    const double all = static_cast<double>(mono_now() - start) / 1e9;
    const double each = (cpu_seconds() - cpu) * 1e3 / static_cast<double>(total);
    fmt::print(
        "{} x {}: {:.0f} placements/s, {:.0f}/s to complete, {:.2f} ms of CPU each (the played client "
        "included)\n",
        jobs, count, static_cast<double>(total) / placed, static_cast<double>(total) / all, each);
}

}  // namespace

int main(int argc, char** argv) {
    log::Options quiet;
    quiet.level = log::Level::Warn;
    log::configure(quiet);
    ServerOptions options;
    if (argc > 1) options.data_dir = argv[1];
    auto server = Server::start(options);
    if (!server) {
        fmt::print(stderr, "{}\n", server.error().message());
        return 1;
    }
    testing::FakeClient client((*server)->port());
    client.register_node();
    latency(**server, client);
    run_allocs(**server, client, "one-job", 1, 1000);
    run_allocs(**server, client, "many-jobs", 1000, 1);
    return 0;
}
