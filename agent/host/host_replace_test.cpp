// SPDX-License-Identifier: Apache-2.0
// A plugin put in place anew while its tasks run: by an operator's restart, by a reload after its executable
// or its block changed; and what happens when the new one is no good.
#include <filesystem>

#include "agent/host/host_fixture.h"

namespace drover::agent {
namespace {

class ReplaceTest : public HostTest {
 protected:
    std::string bundled() const { return dir_ + "/plugins/drover-driver-mock"; }
    // As a package manager does it: a new file under the old name.
    void put_mock(const std::string& path) {
        std::filesystem::copy_file(mock_, path + ".new", std::filesystem::copy_options::overwrite_existing);
        ASSERT_EQ(::rename((path + ".new").c_str(), path.c_str()), 0);
    }
    void put_script(const std::string& path, const std::string& body) {
        ASSERT_TRUE(write_file(path + ".new", "#!/bin/sh\n" + body, 0755));
        ASSERT_EQ(::rename((path + ".new").c_str(), path.c_str()), 0);
    }
    Status restart(const std::string& name) {
        Answer<void> answer;
        host_->restart(name, answer.done());
        return answer.get();
    }
    PluginStatus status_of(const std::string& file) {
        for (auto& status : host_->plugins()) {
            if (status.file == file) return status;
        }
        return {};
    }
    sdk::TaskState state_of(const std::string& task) {
        Answer<sdk::TaskStatus> inspected;
        driver_->inspect_task(task, inspected.done());
        auto status = inspected.get();
        return status ? status->state : sdk::TaskState::Unknown;
    }
};

TEST_F(ReplaceTest, ARestartPutsTheNewExecutableInPlaceAndTasksGoOn) {
    put_mock(bundled());
    start_mock();
    auto started = start_task(task("t1", {{"run_for", "1h"}}));
    ASSERT_TRUE(started);
    Answer<sdk::ExitResult> exit;
    auto wait = driver_->wait_task("t1", exit.done());
    const auto before = only();
    const auto build = driver_->status().build;
    EXPECT_FALSE(build.empty());

    put_mock(bundled());
    auto restarted = restart("mock_driver");
    ASSERT_TRUE(restarted) << restarted.error().message();
    const auto after = only();
    EXPECT_EQ(after.state, PluginState::Healthy);
    EXPECT_NE(after.pid, before.pid);
    EXPECT_FALSE(alive(before.pid));
    EXPECT_EQ(after.launches, 2u);
    auto lost = exit.get();  // its runner hears that the instance is gone, not that the task ended
    ASSERT_FALSE(lost);
    EXPECT_TRUE(plugin_lost(lost.error())) << lost.error().message();
    ASSERT_TRUE(replaced(1));
    EXPECT_NE(driver_->status().build, build);
    ASSERT_TRUE(recover(started->handle));
    EXPECT_EQ(state_of("t1"), sdk::TaskState::Running);
    EXPECT_TRUE(driver_->status().healthy);

    // By the file's name and the short one as well; the executable need not have changed.
    EXPECT_TRUE(restart("drover-driver-mock"));
    EXPECT_TRUE(restart("mock"));
    EXPECT_EQ(only().launches, 4u);
    auto unknown = restart("podman");
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code(), Code::NotFound);
    EXPECT_NE(unknown.error().message().find("mock_driver"), std::string::npos) << unknown.error().message();
}

TEST_F(ReplaceTest, ANewExecutableThatFailsShowsItsReasonUntilAGoodOneIsThere) {
    put_mock(bundled());
    start_mock();
    auto started = start_task(task("t1", {{"run_for", "1h"}}));
    ASSERT_TRUE(started);
    put_script(bundled(), "echo 'no license' >&2; exit 3\n");
    auto failed = restart("mock");
    ASSERT_FALSE(failed);
    EXPECT_NE(failed.error().message().find("exited with code 3 (last output: no license)"),
              std::string::npos)
        << failed.error().message();
    EXPECT_NE(only().reason.find("no license"), std::string::npos) << only().reason;
    EXPECT_TRUE(eventually([&] {
        const auto status = driver_->status();
        return !status.healthy && status.description.find("no license") != std::string::npos;
    })) << driver_->status().description;
    // Nothing is asked of a plugin that is not there: the task's runner only waits.
    Answer<void> stopped;
    driver_->stop_task("t1", kSecond, "", stopped.done());
    EXPECT_TRUE(plugin_down(stopped.get().error()));

    put_mock(bundled());
    ASSERT_TRUE(restart("mock"));
    ASSERT_TRUE(recover(started->handle));
    EXPECT_EQ(state_of("t1"), sdk::TaskState::Running);
    EXPECT_TRUE(eventually([&] { return driver_->status().healthy; }));
}

TEST_F(ReplaceTest, AReloadTouchesOnlyWhatHasChanged) {
    put_mock(bundled());
    ASSERT_TRUE(make_dirs(dir_ + "/extra"));
    start_mock();
    const int first = only().pid;
    host_->reload(dir_ + "/extra", {});
    EXPECT_EQ(only().pid, first);
    put_mock(bundled());
    host_->reload(dir_ + "/extra", {});
    ASSERT_TRUE(replaced(1));
    const int second = only().pid;
    EXPECT_NE(second, first);
    host_->reload(dir_ + "/extra", {{"mock", {"-x"}, nullptr}});  // a changed block
    ASSERT_TRUE(replaced(2));
    EXPECT_NE(only().pid, second);
    // And what had failed gets another chance.
    host_->reload("", {{"mock", {}, map_of({{"helthy", "yes"}})}});
    ASSERT_TRUE(reaches(PluginState::Failed));
    host_->reload("", {});
    ASSERT_TRUE(reaches(PluginState::Healthy)) << only().reason;
}

TEST_F(ReplaceTest, AReloadAddsAndRemovesPluginsOfOneName) {
    put_mock(bundled());
    start_mock();
    auto started = start_task(task("t1", {{"run_for", "1h"}}));
    ASSERT_TRUE(started);
    const std::string own = dir_ + "/extra/own";
    ASSERT_TRUE(make_dirs(dir_ + "/extra"));
    put_mock(own);
    // Without a block it is not run; with one it replaces the bundled plugin of the same name.
    host_->reload(dir_ + "/extra", {});
    EXPECT_EQ(host_->plugins().size(), 1u);
    host_->reload(dir_ + "/extra", {{"own", {}, nullptr}});
    ASSERT_TRUE(eventually([&] { return status_of(own).state == PluginState::Healthy; }))
        << host_->plugin_status_json();
    ASSERT_TRUE(eventually([&] { return status_of(bundled()).state == PluginState::Failed; }));
    EXPECT_NE(status_of(bundled()).reason.find("is provided by " + own), std::string::npos)
        << status_of(bundled()).reason;
    ASSERT_TRUE(replaced(1));
    ASSERT_TRUE(recover(started->handle));
    const int pid = status_of(own).pid;

    ASSERT_EQ(::unlink(own.c_str()), 0);
    host_->reload(dir_ + "/extra", {{"own", {}, nullptr}});
    EXPECT_TRUE(eventually([&] { return !alive(pid); }));
    ASSERT_TRUE(eventually([&] { return status_of(bundled()).state == PluginState::Healthy; }))
        << host_->plugin_status_json();
    EXPECT_TRUE(eventually([&] { return !path_exists(dir_ + "/data/client/plugins/own"); }));
    EXPECT_EQ(host_->plugins().size(), 1u);
    ASSERT_TRUE(replaced(2));
    ASSERT_TRUE(recover(started->handle));
    EXPECT_EQ(state_of("t1"), sdk::TaskState::Running);
}

TEST_F(ReplaceTest, ADriverWithoutAPluginIsUndetectedAndUnknown) {
    put_mock(bundled());
    start_mock();
    ASSERT_TRUE(eventually([&] { return driver_->status().healthy; }));
    const int pid = only().pid;
    ASSERT_EQ(::unlink(bundled().c_str()), 0);
    host_->reload("", {});
    EXPECT_TRUE(eventually([&] { return !alive(pid); }));
    EXPECT_TRUE(eventually([&] { return !driver_->status().detected; }));
    EXPECT_TRUE(driver_->status().attributes.empty());
    EXPECT_TRUE(eventually([&] { return !host_->driver("mock_driver"); }));
    auto gone = host_->driver("mock_driver");
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code(), Code::NotFound);
    put_mock(bundled());
    host_->reload("", {});
    ASSERT_TRUE(eventually([&] { return driver_->status().generation == 2; })) << host_->plugin_status_json();
    EXPECT_TRUE(host_->driver("mock_driver"));
}

TEST_F(ReplaceTest, TwoRestartsAtOnceEndInOneInstance) {
    put_mock(bundled());
    start_mock();
    Answer<void> first, second;
    host_->restart("mock", first.done());
    host_->restart("mock", second.done());
    auto overtaken = first.get();
    ASSERT_FALSE(overtaken);
    EXPECT_EQ(overtaken.error().code(), Code::Aborted);
    ASSERT_TRUE(second.get());
    EXPECT_EQ(only().state, PluginState::Healthy);
    EXPECT_TRUE(alive(only().pid));
}

TEST_F(ReplaceTest, AStopDuringARestartLeavesNothing) {
    put_mock(bundled());
    start_mock();
    const int pid = only().pid;
    ASSERT_EQ(::kill(pid, SIGSTOP), 0);  // it cannot answer its Shutdown
    Answer<void> restarted;
    host_->restart("mock", restarted.done());
    ASSERT_TRUE(reaches(PluginState::Starting));
    host_->stop(StopKind::Dev);
    EXPECT_FALSE(restarted.get());
    EXPECT_TRUE(eventually([&] { return !alive(pid); }));
}

}  // namespace
}  // namespace drover::agent
