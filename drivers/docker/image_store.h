// SPDX-License-Identifier: Apache-2.0
// ImageStore: brings images to the machine and takes them away again. Several tasks that want the same image
// share one pull. An image that this driver brought (and only such a one) is removed when no task has used it
// for a while.
//
// Crash: which images were brought is kept as files in `dir`, one each, written before the pull: one that a
// crash left unused is found and removed after the usual delay. Thread-safe.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "drivers/docker/docker_config.h"
#include "drivers/docker/engine.h"
#include "drivers/docker/image_ref.h"
#include "drover/types.h"

namespace drover::drivers {

class ImageStore {
 public:
    // Says something to the people who watch the task.
    using Tell = std::function<void(const std::string& message, const StringMap& annotations)>;

    ImageStore(Engine& engine, std::string dir) : engine_(engine), dir_(std::move(dir)) {}

    // The image's id, the task counted among its users until release(). Pulls or loads as the task says.
    Result<std::string> acquire(const sdk::TaskConfig& task, const DockerTaskConfig& config,
                                const DockerPluginConfig& plugin, const Tell& tell);
    // A task that was found running uses this image.
    void adopt(const std::string& task_id, const std::string& image_id);
    void release(const std::string& task_id, const DockerPluginConfig& plugin);

    // Removes what is due; when to come again (monotonic), kForever when nothing waits. Blocks.
    int64_t collect(const DockerPluginConfig& plugin);

 private:
    struct Pull;
    Result<std::string> fetch(const ImageRef& image, const DockerTaskConfig& config,
                              const DockerPluginConfig& plugin, const Tell& tell);
    Result<std::string> pull(const ImageRef& image, const DockerTaskConfig& config,
                             const DockerPluginConfig& plugin, const Tell& tell);
    std::string record_path(const std::string& reference) const;
    void remember(const std::string& reference);
    bool in_use(const std::string& image_id);

    Engine& engine_;
    const std::string dir_;
    std::mutex mutex_;
    std::map<std::string, std::shared_ptr<Pull>> pulls_;  // in progress, by image and credentials
    std::map<std::string, std::set<std::string>> users_;  // image id -> task ids
    std::map<std::string, int64_t> due_;                  // reference -> when to remove it
    bool scanned_ = false;                                // dir_ was looked through
};

}  // namespace drover::drivers
