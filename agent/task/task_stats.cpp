// SPDX-License-Identifier: Apache-2.0
// TaskRunner's statistics: a stream of the driver that is open only while somebody asks.
#include "agent/task/task_runner.h"
#include "base/clock.h"

namespace drover::agent {
namespace {

constexpr int64_t kStatsIntervalNs = kSecond;
constexpr int64_t kStatsKeepNs = 30 * kSecond;  // the stream closes so long after the last question

}  // namespace

// ------------------------------------------------------------------------------------------------------

void TaskRunner::stats(std::function<void(Result<sdk::TaskStats>)> done) {
    if (machine_->record().phase() != client::RUNNING && machine_->record().phase() != client::STOPPING) {
        return done(make_error(Code::NotFound, "task {:?} is not running", name_));
    }
    stats_wanted_at_ = mono_now();
    if (stats_ && sample_) return done(*sample_);
    stats_waiting_.push_back(std::move(done));
    if (!stats_) open_stats();
}

void TaskRunner::open_stats() {
    auto found = driver();
    const auto answer_all = [](TaskRunner& self, const Result<sdk::TaskStats>& result) {
        auto waiting = std::exchange(self.stats_waiting_, {});
        for (auto& done : waiting) done(result);
    };
    if (!found) return answer_all(*this, found.error());
    sample_.reset();
    stats_ = (*found)->stream_stats(
        machine_->record().task_id(), kStatsIntervalNs,
        on_strand([answer_all](TaskRunner& self, sdk::TaskStats sample) {
            self.sample_ = std::move(sample);
            answer_all(self, *self.sample_);
            if (mono_now() - self.stats_wanted_at_ > kStatsKeepNs) self.stats_.reset();
        }),
        on_strand([answer_all](TaskRunner& self, Result<void> result) {
            self.stats_.reset();
            self.sample_.reset();
            answer_all(self, result ? make_error(Code::Unavailable, "the driver gives no statistics")
                                    : result.error());
        }));
}

}  // namespace drover::agent
