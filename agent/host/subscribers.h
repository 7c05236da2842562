// SPDX-License-Identifier: Apache-2.0
// Subscribers of one kind of news. Thread-safe; callbacks are made by whoever calls tell(), which the host
// does on one strand only, so they come in order and one after another.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "agent/host/driver.h"

namespace drover::agent {

template <class T>
struct Subscribers : std::enable_shared_from_this<Subscribers<T>> {
    struct Entry : OpenCall {
        std::function<void(const T&)> callback;
        std::atomic<bool> cancelled = false;
        void cancel() override { cancelled = true; }
    };
    struct Handle : OpenCall {
        explicit Handle(std::shared_ptr<Entry> e) : entry(std::move(e)) {}
        ~Handle() override { Handle::cancel(); }
        void cancel() override { entry->cancel(); }
        std::shared_ptr<Entry> entry;
    };

    std::shared_ptr<Entry> add(std::function<void(const T&)> callback) {
        auto entry = std::make_shared<Entry>();
        entry->callback = std::move(callback);
        std::lock_guard lock(mutex);
        std::erase_if(entries, [](const auto& e) { return e->cancelled.load(); });
        entries.push_back(entry);
        return entry;
    }
    void tell(const T& news) {
        std::vector<std::shared_ptr<Entry>> now;
        {
            std::lock_guard lock(mutex);
            now = entries;
        }
        for (auto& entry : now) {
            if (!entry->cancelled) entry->callback(news);
        }
    }

    std::mutex mutex;
    std::vector<std::shared_ptr<Entry>> entries;
};

}  // namespace drover::agent
