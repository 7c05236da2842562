// SPDX-License-Identifier: Apache-2.0
#include "drivers/docker/image_store.h"

#include <condition_variable>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "drivers/docker/container_spec.h"
#include "drivers/docker/registry_auth.h"

namespace drover::drivers {
namespace {

constexpr char kName[] = "docker";
constexpr int64_t kTellNs = 10 * kSecond;  // between two events about a pull's progress
constexpr int64_t kRemoveRetryNs = kMinute;

bool contains_any(const std::string& text, std::initializer_list<const char*> words) {
    for (const char* word : words)
        if (text.find(word) != std::string::npos) return true;
    return false;
}

// What the daemon says about an image that no second try will bring.
bool is_final(const std::string& message) {
    return contains_any(message, {"not found", "manifest unknown", "access denied", "unauthorized",
                                  "denied:", "invalid reference format", "no matching manifest",
                                  "authentication required", "no basic auth credentials"});
}

// The sum of all layers' progress, told now and then.
class ProgressTeller {
 public:
    ProgressTeller(std::string image, const ImageStore::Tell& tell) : image_(std::move(image)), tell_(tell) {}
    void step(const Progress& progress) {
        if (progress.id.empty()) return;
        auto& layer = layers_[progress.id];
        if (progress.total > 0) layer = {progress.current, progress.total};
        if (contains_any(progress.status, {"complete", "Already exists"})) layer.first = layer.second;
        if (mono_now() - told_ < kTellNs) return;
        told_ = mono_now();
        int64_t current = 0, total = 0;
        for (const auto& [id, bytes] : layers_) current += bytes.first, total += bytes.second;
        tell_(fmt::format("Pulling image {}: {} of {} MiB in {} layers", image_, current >> 20, total >> 20,
                          layers_.size()),
              {{"image", image_}});
    }

 private:
    const std::string image_;
    const ImageStore::Tell& tell_;
    std::map<std::string, std::pair<int64_t, int64_t>> layers_;
    int64_t told_ = mono_now();
};

}  // namespace

struct ImageStore::Pull {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<std::string>> result;
};

std::string ImageStore::record_path(const std::string& reference) const {
    return join_path(dir_, replace_all(url_escape(reference), ".", "%2E"));
}

void ImageStore::remember(const std::string& reference) {
    // A record that cannot be written costs only the clean-up.
    if (Status made = make_dirs(dir_, 0700); !made) return;
    if (Status written = write_file_durable(record_path(reference), reference); !written)
        log::warn(kName, "image will not be cleaned up",
                  {{"image", reference}, {"error", written.error().message()}});
}

Result<std::string> ImageStore::acquire(const sdk::TaskConfig& task, const DockerTaskConfig& config,
                                        const DockerPluginConfig& plugin, const Tell& tell) {
    DROVER_TRY(ImageRef image, parse_image(config.image));
    std::string id;
    if (!config.load.empty()) {
        DROVER_TRY(std::string archive, path_in_alloc(task, config.load, "load"));
        if (!path_exists(archive))
            return make_error(Code::NotFound, "load: \"{}\" does not exist in the task's directory",
                              config.load);
        if (!engine_.image_id(image.text())) remember(image.text());
        auto loaded = engine_.load(archive, mono_now() + config.image_pull_timeout.count());
        if (!loaded) return std::move(loaded).error().context("load " + config.load);
        DROVER_TRY(id, engine_.image_id(image.text()).context("load " + config.load));
    } else {
        DROVER_TRY(id, fetch(image, config, plugin, tell));
    }
    adopt(task.id, id);
    return id;
}

Result<std::string> ImageStore::fetch(const ImageRef& image, const DockerTaskConfig& config,
                                      const DockerPluginConfig& plugin, const Tell& tell) {
    // "latest" may be another image tomorrow, a digest never.
    const bool moving = image.digest.empty() && image.tag == "latest";
    if (!config.force_pull && !moving) {
        auto here = engine_.image_id(image.text());
        if (here || here.error().code() != Code::NotFound) return here;
    }
    const std::string key = image.text() + "\n" + (config.auth ? config.auth->username : "");
    std::shared_ptr<Pull> shared;
    bool mine = false;
    {
        std::lock_guard lock(mutex_);
        auto& entry = pulls_[key];
        mine = !entry;
        if (mine) entry = std::make_shared<Pull>();
        shared = entry;
    }
    if (!mine) {
        tell("Waiting for another task's pull of image " + image.text(), {{"image", image.text()}});
        std::unique_lock lock(shared->mutex);
        shared->changed.wait(lock, [&] { return shared->result.has_value(); });
        return *shared->result;
    }
    auto result = pull(image, config, plugin, tell);
    {
        std::lock_guard lock(mutex_);
        pulls_.erase(key);
    }
    std::lock_guard lock(shared->mutex);
    shared->result = result;
    shared->changed.notify_all();
    return result;
}

Result<std::string> ImageStore::pull(const ImageRef& image, const DockerTaskConfig& config,
                                     const DockerPluginConfig& plugin, const Tell& tell) {
    const std::string name = image.text();
    auto credentials = find_credentials(image.registry, config, plugin);
    if (!credentials) {
        if (!config.auth_soft_fail) return std::move(credentials).error().context("pull " + name);
        tell("No credentials for " + image.registry + ", trying without: " + credentials.error().message(),
             {{"image", name}});
        credentials = Credentials();
    }
    if (!engine_.image_id(name)) remember(name);
    tell("Downloading image", {{"image", name}});
    const int64_t begun = mono_now();
    ProgressTeller progress(name, tell);
    Status done =
        engine_.pull(image.repository, image.version(), auth_header(*credentials),
                     begun + config.image_pull_timeout.count(), plugin.pull_activity_timeout.count(),
                     [&](const Progress& step) { progress.step(step); });
    // An image that is only here (built, imported) and in no registry is still an image.
    if (!done && !config.force_pull)
        if (auto here = engine_.image_id(name)) return here;
    if (!done) {
        Error error = std::move(done).error();
        const bool late =
            error.code() == Code::DeadlineExceeded && mono_now() >= begun + config.image_pull_timeout.count();
        if (late)
            return Error(Code::DeadlineExceeded,
                         fmt::format("pull {}: not finished within image_pull_timeout ({})", name,
                                     format_duration(config.image_pull_timeout.count())),
                         Retry::Yes);
        const Retry retry = is_final(error.message()) ? Retry::No : Retry::Yes;
        return std::move(error).context("pull " + name).with_retry(retry);
    }
    DROVER_TRY(std::string id, engine_.image_id(name));
    tell(fmt::format("Image {} pulled in {}", name,
                     format_duration((mono_now() - begun) / kMillisecond * kMillisecond)),
         {{"image", name}, {"id", id}});
    return id;
}

void ImageStore::adopt(const std::string& task_id, const std::string& image_id) {
    std::lock_guard lock(mutex_);
    users_[image_id].insert(task_id);
}

void ImageStore::release(const std::string& task_id, const DockerPluginConfig& plugin) {
    std::lock_guard lock(mutex_);
    for (auto it = users_.begin(); it != users_.end();) {
        it->second.erase(task_id);
        it = it->second.empty() ? users_.erase(it) : std::next(it);
    }
    // collect() looks which of the records are of unused images.
    if (plugin.collection().image) scanned_ = false;
}

bool ImageStore::in_use(const std::string& image_id) {
    std::lock_guard lock(mutex_);
    return users_.count(image_id) > 0 || !pulls_.empty();
}

int64_t ImageStore::collect(const DockerPluginConfig& plugin) {
    if (!plugin.collection().image) return HttpExchange::kForever;
    std::map<std::string, int64_t> due;
    {
        std::lock_guard lock(mutex_);
        const int64_t when = mono_now() + plugin.collection().image_delay.count();
        if (!scanned_) {
            for (const std::string& file : list_dir(dir_).value_or(std::vector<std::string>()))
                if (auto reference = read_file(join_path(dir_, file), 4096)) due_.emplace(*reference, when);
        }
        scanned_ = true;
        due = due_;
    }
    int64_t next = HttpExchange::kForever;
    for (const auto& [reference, when] : due) {
        auto id = engine_.image_id(reference);
        const bool gone = !id && id.error().code() == Code::NotFound;
        if (!id && !gone) return mono_now() + kRemoveRetryNs;  // no daemon
        const bool used = id ? in_use(*id) : in_use("");
        if (!used && !gone && mono_now() < when) {
            next = std::min(next, when);
            continue;
        }
        bool forget = gone && !used;
        if (!used && !gone) {
            Status removed = engine_.remove_image(reference);
            // In use by somebody else's container: theirs now.
            forget = removed || removed.error().code() == Code::AlreadyExists;
            log::info(kName, "unused image removed",
                      {{"image", reference}, {"result", removed ? "ok" : removed.error().message()}});
        }
        std::lock_guard lock(mutex_);
        due_.erase(reference);
        if (forget) ::unlink(record_path(reference).c_str());
    }
    return next;
}

}  // namespace drover::drivers
