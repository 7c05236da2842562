// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"drover.test/interop/gen/driverpb"
)

// The task's parent: it leads a session of its own, so that it outlives the plugin, writes down who the task is once it
// runs, and its exit code when it has ended.
const keeper = `
exec >"$1" 2>"$2"
dir=$3
shift 3
"$@" &
echo $! >"$dir/pid.new" && mv "$dir/pid.new" "$dir/pid"
wait $!
echo $? >"$dir/exit.new" && mv "$dir/exit.new" "$dir/exit"
`

// What the handle remembers.
type taskState struct {
	Dir       string `codec:"dir"`
	Keeper    int    `codec:"keeper"`
	Pid       int    `codec:"pid"`
	StartedNs int64  `codec:"started_ns"`
}

type task struct {
	state taskState
	name  string
}

func startTask(stateDir string, c *driverpb.TaskConfig, config taskConfig) (*task, error) {
	if _, err := exec.LookPath(config.Command); err != nil {
		return nil, err
	}
	dir := filepath.Join(stateDir, url.PathEscape(c.Id))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	args := append([]string{"-c", keeper, "keeper", c.StdoutPath, c.StderrPath, dir, config.Command}, config.Args...)
	command := exec.Command("/bin/sh", args...)
	for key, value := range c.Env {
		command.Env = append(command.Env, key+"="+value)
	}
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() { _ = command.Wait() }()
	t := &task{name: c.Name, state: taskState{Dir: dir, Keeper: command.Process.Pid, StartedNs: time.Now().UnixNano()}}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if pid, ok := t.number("pid"); ok {
			t.state.Pid = pid
			return t, nil
		}
		if time.Now().After(deadline) {
			_ = syscall.Kill(-t.state.Keeper, syscall.SIGKILL)
			return nil, fmt.Errorf("%s: the task did not start", dir)
		}
	}
}

func (t *task) number(file string) (int, bool) {
	text, err := os.ReadFile(filepath.Join(t.state.Dir, file))
	if err != nil {
		return 0, false
	}
	value, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return value, err == nil
}

func (t *task) exit() (*driverpb.ExitResult, bool) {
	code, ok := t.number("exit")
	if !ok {
		return nil, false
	}
	result := &driverpb.ExitResult{ExitCode: int32(code)}
	if code > 128 {
		result.Signal = int32(code - 128)
	}
	return result, true
}

func (t *task) ended() bool { _, ok := t.exit(); return ok }

// Alive while its keeper is: that one ends after having told the exit code.
func (t *task) alive() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", t.state.Keeper))
	return err == nil && strings.Contains(string(text), t.state.Dir) && !t.ended()
}

func (t *task) wait(ctx context.Context) (*driverpb.ExitResult, error) {
	for {
		if result, ok := t.exit(); ok {
			return result, nil
		}
		if !t.alive() && !t.ended() {
			return &driverpb.ExitResult{ExitCode: -1}, fmt.Errorf("the task's keeper was killed")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (t *task) signal(number syscall.Signal) error { return syscall.Kill(t.state.Pid, number) }

func (t *task) environment() []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", t.state.Pid))
	if err != nil {
		return []string{}
	}
	return strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
}

func (t *task) usage() *driverpb.TaskResourceUsage {
	memory := &driverpb.MemoryUsage{MeasuredFields: []driverpb.MemoryUsage_Fields{driverpb.MemoryUsage_RSS}}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", t.state.Pid)); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			pages, _ := strconv.ParseUint(fields[1], 10, 64)
			memory.Rss = pages * uint64(os.Getpagesize())
		}
	}
	return &driverpb.TaskResourceUsage{Cpu: &driverpb.CPUUsage{}, Memory: memory}
}

func (t *task) remove() error { return os.RemoveAll(t.state.Dir) }
