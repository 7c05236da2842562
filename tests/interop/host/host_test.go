// SPDX-License-Identifier: Apache-2.0

// These tests play Nomad: go-plugin's own client with Nomad's handshake and plugin map, against drover's plugins. What
// to start is in the environment: DROVER_INTEROP_DRIVER and DROVER_INTEROP_DEVICE name binaries.
package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"drover.test/interop/gen/basepb"
	"drover.test/interop/gen/devicepb"
	"drover.test/interop/gen/driverpb"
	"drover.test/interop/wire"
)

type host struct {
	t      *testing.T
	client *plugin.Client
	log    *bytes.Buffer
	base   basepb.BasePluginClient
	driver driverpb.DriverClient
	device devicepb.DevicePluginClient
}

func binary(t *testing.T, variable string) string {
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set", variable)
	}
	return path
}

// The configuration of go-plugin's client, as Nomad's agent has it.
func clientConfig(t *testing.T, log io.Writer, other string) *plugin.ClientConfig {
	plugins := map[string]plugin.Plugin{wire.BaseName: &wire.Base{}}
	if other == wire.DriverName {
		plugins[other] = &wire.Driver{}
	} else {
		plugins[other] = &wire.Device{}
	}
	return &plugin.ClientConfig{
		HandshakeConfig:  wire.Handshake,
		Plugins:          plugins,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: log, JSONFormat: true}),
	}
}

func connect(t *testing.T, config *plugin.ClientConfig, log *bytes.Buffer, other string) *host {
	h := &host{t: t, client: plugin.NewClient(config), log: log}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log.String())
		}
	})
	protocol, err := h.client.Client()
	if err != nil {
		t.Fatalf("handshake: %v\n%s", err, log)
	}
	if err := protocol.Ping(); err != nil {
		t.Fatalf("health: %v", err)
	}
	dispense := func(name string) interface{} {
		raw, err := protocol.Dispense(name)
		if err != nil {
			t.Fatalf("dispense %s: %v", name, err)
		}
		return raw
	}
	h.base = dispense(wire.BaseName).(basepb.BasePluginClient)
	if other == wire.DriverName {
		h.driver = dispense(other).(driverpb.DriverClient)
	} else {
		h.device = dispense(other).(devicepb.DevicePluginClient)
	}
	return h
}

func launch(t *testing.T, path, other string) *host {
	log := &bytes.Buffer{}
	config := clientConfig(t, log, other)
	config.Cmd = exec.Command(path)
	return connect(t, config, log, other)
}

func (h *host) setConfig(values map[string]interface{}) {
	h.t.Helper()
	schema, err := h.base.ConfigSchema(background(), &basepb.ConfigSchemaRequest{})
	if err != nil {
		h.t.Fatalf("ConfigSchema: %v", err)
	}
	object := schema.GetSpec().GetObject()
	if object == nil {
		h.t.Fatalf("ConfigSchema: no object: %v", schema)
	}
	for name := range values {
		if _, ok := object.Attributes[name]; !ok {
			h.t.Fatalf("ConfigSchema: no attribute %q in %v", name, object)
		}
	}
	for name := range object.Attributes { // as a host sends it: every key, nil where the user gave none
		if _, ok := values[name]; !ok {
			values[name] = nil
		}
	}
	encoded, err := wire.Encode(values)
	if err != nil {
		h.t.Fatal(err)
	}
	agent := &basepb.NomadConfig{Driver: &basepb.NomadDriverConfig{ClientMinPort: 14000, ClientMaxPort: 14512}}
	for _, nomad := range []*basepb.NomadConfig{nil, nil, agent} { // twice to validate, then for good
		request := &basepb.SetConfigRequest{MsgpackConfig: encoded, NomadConfig: nomad, PluginApiVersion: wire.APIVersion}
		if _, err := h.base.SetConfig(background(), request); err != nil {
			h.t.Fatalf("SetConfig: %v", err)
		}
	}
}

func (h *host) checkInfo(kind basepb.PluginType) {
	h.t.Helper()
	info, err := h.base.PluginInfo(background(), &basepb.PluginInfoRequest{})
	if err != nil {
		h.t.Fatalf("PluginInfo: %v", err)
	}
	if info.Type != kind || info.Name == "" || info.PluginVersion == "" ||
		len(info.PluginApiVersions) == 0 || info.PluginApiVersions[0] != wire.APIVersion {
		h.t.Fatalf("PluginInfo: %v", info)
	}
}

func background() context.Context { return context.Background() }

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// --- driver -------------------------------------------------------------------------------------------------------

type taskDirs struct{ root, stdout, stderr string }

func makeTask(t *testing.T, script string) (*driverpb.TaskConfig, taskDirs) {
	root := t.TempDir()
	for _, dir := range []string{"alloc/logs", "t/local", "t/secrets", "t/tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dirs := taskDirs{root, filepath.Join(root, "out.fifo"), filepath.Join(root, "err.fifo")}
	for _, fifo := range []string{dirs.stdout, dirs.stderr} {
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	encoded, err := wire.Encode(driverConfig(script))
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("5d3e5c5c-2a5e-4c0c-9d7c-%012x/t/%08x", time.Now().UnixNano()&0xffffffffffff, os.Getpid())
	return &driverpb.TaskConfig{Id: id, Name: "t", AllocId: strings.Split(id, "/")[0], JobName: "j", TaskGroupName: "g",
		MsgpackDriverConfig: encoded, AllocDir: root, StdoutPath: dirs.stdout, StderrPath: dirs.stderr,
		Env: map[string]string{"PATH": "/usr/bin:/bin", "GREETING": "hello"},
		Resources: &driverpb.Resources{
			AllocatedResources: &driverpb.AllocatedTaskResources{
				Cpu:    &driverpb.AllocatedCpuResources{CpuShares: 100},
				Memory: &driverpb.AllocatedMemoryResources{MemoryMb: 64}},
			LinuxResources: &driverpb.LinuxResources{CpuShares: 100, MemoryLimitBytes: 64 << 20}}}, dirs
}

// DROVER_INTEROP_TASK says how the driver takes a shell script: "command" (command and args) or "script".
func driverConfig(script string) map[string]interface{} {
	if os.Getenv("DROVER_INTEROP_TASK") == "script" {
		return map[string]interface{}{"script": script}
	}
	return map[string]interface{}{"command": "/bin/sh", "args": []string{"-c", script}}
}

func collect(t *testing.T, fifo string) func(text string) {
	file, err := os.OpenFile(fifo, os.O_RDWR, 0) // as a log collector: never without a reader
	if err != nil {
		t.Fatal(err)
	}
	chunks := make(chan string, 1024)
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := file.Read(buffer)
			if err != nil {
				return
			}
			chunks <- string(buffer[:n])
		}
	}()
	t.Cleanup(func() { _ = file.Close() })
	seen := ""
	return func(text string) {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for !strings.Contains(seen, text) {
			select {
			case chunk := <-chunks:
				seen += chunk
			case <-deadline:
				t.Fatalf("%s: no %q in %q", fifo, text, seen)
			}
		}
	}
}

func driverHost(t *testing.T, stateDir string) *host {
	h := launch(t, binary(t, "DROVER_INTEROP_DRIVER"), wire.DriverName)
	h.checkInfo(basepb.PluginType_DRIVER)
	config := map[string]interface{}{"state_dir": stateDir}
	if os.Getenv("DROVER_INTEROP_ENABLE") != "" {
		config["enabled"] = true
	}
	h.setConfig(config)
	return h
}

// Short: a unix socket lies in it, and a path to one ends at 108 bytes.
func stateDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func TestDriverFromStartToDestroy(t *testing.T) {
	h := driverHost(t, stateDir(t))
	defer h.client.Kill()

	if _, err := h.driver.Init(soon(t), &driverpb.InitRequest{}); err != nil && status.Code(err) != codes.Unimplemented {
		t.Fatalf("Init: %v", err)
	}
	schema, err := h.driver.TaskConfigSchema(soon(t), &driverpb.TaskConfigSchemaRequest{})
	if err != nil || schema.GetSpec().GetObject() == nil {
		t.Fatalf("TaskConfigSchema: %v %v", schema, err)
	}
	capabilities, err := h.driver.Capabilities(soon(t), &driverpb.CapabilitiesRequest{})
	if err != nil || capabilities.Capabilities == nil {
		t.Fatalf("Capabilities: %v %v", capabilities, err)
	}
	prints, err := h.driver.Fingerprint(soon(t), &driverpb.FingerprintRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := prints.Recv(); err != nil || first.Health != driverpb.FingerprintResponse_HEALTHY {
		t.Fatalf("Fingerprint: %v %v", first, err)
	}

	config, dirs := makeTask(t, `echo "$GREETING there"; trap 'echo usr1; exit 7' USR1; while :; do sleep 0.05; done`)
	out := collect(t, dirs.stdout)
	collect(t, dirs.stderr)
	started, err := h.driver.StartTask(soon(t), &driverpb.StartTaskRequest{Task: config})
	if err != nil {
		t.Fatalf("StartTask: %v", err)
	}
	if started.GetHandle().GetConfig().GetId() != config.Id || len(started.Handle.DriverState) == 0 {
		t.Fatalf("StartTask: handle %v", started.Handle)
	}
	out("hello there")

	inspected, err := h.driver.InspectTask(soon(t), &driverpb.InspectTaskRequest{TaskId: config.Id})
	if err != nil || inspected.GetTask().GetState() != driverpb.TaskState_RUNNING ||
		inspected.Task.StartedAt == nil || inspected.Task.CompletedAt == nil || inspected.Task.Result == nil {
		t.Fatalf("InspectTask: %v %v", inspected, err)
	}
	stats, err := h.driver.TaskStats(soon(t), &driverpb.TaskStatsRequest{TaskId: config.Id,
		CollectionInterval: durationpb.New(50 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 2; i++ {
		sample, err := stats.Recv()
		if err != nil || sample.GetStats().GetAggResourceUsage() == nil || sample.Stats.Timestamp == nil {
			t.Fatalf("TaskStats: %v %v", sample, err)
		}
	}
	one, err := h.driver.ExecTask(soon(t), &driverpb.ExecTaskRequest{TaskId: config.Id,
		Command: []string{"/bin/sh", "-c", "echo $GREETING; echo oops >&2; exit 3"}, Timeout: durationpb.New(5 * time.Second)})
	if err != nil || string(one.Stdout) != "hello\n" || string(one.Stderr) != "oops\n" || one.Result.ExitCode != 3 {
		t.Fatalf("ExecTask: %v %v", one, err)
	}
	checkStreamingExec(t, h, config.Id)

	if _, err := h.driver.DestroyTask(soon(t), &driverpb.DestroyTaskRequest{TaskId: config.Id}); err == nil {
		t.Fatal("DestroyTask of a running task was not refused")
	}
	if _, err := h.driver.SignalTask(soon(t), &driverpb.SignalTaskRequest{TaskId: config.Id, Signal: "SIGUSR1"}); err != nil {
		t.Fatalf("SignalTask: %v", err)
	}
	for i := 0; i < 2; i++ { // the second one asks after the end
		ended, err := h.driver.WaitTask(soon(t), &driverpb.WaitTaskRequest{TaskId: config.Id})
		if err != nil || ended.GetResult().GetExitCode() != 7 || ended.Err != "" {
			t.Fatalf("WaitTask: %v %v", ended, err)
		}
	}
	if _, err := h.driver.DestroyTask(soon(t), &driverpb.DestroyTaskRequest{TaskId: config.Id}); err != nil {
		t.Fatalf("DestroyTask: %v", err)
	}
	if _, err := h.driver.InspectTask(soon(t), &driverpb.InspectTaskRequest{TaskId: config.Id}); err == nil {
		t.Fatal("InspectTask knows a destroyed task")
	}
}

func checkStreamingExec(t *testing.T, h *host, id string) {
	t.Helper()
	stream, err := h.driver.ExecTaskStreaming(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []*driverpb.ExecTaskStreamingRequest{
		{Setup: &driverpb.ExecTaskStreamingRequest_Setup{TaskId: id, Command: []string{"/bin/sh", "-c", "cat; exit 5"}}},
		{Stdin: &driverpb.ExecTaskStreamingIOOperation{Data: []byte("through the stream\n")}},
		{Stdin: &driverpb.ExecTaskStreamingIOOperation{Close: true}},
	} {
		if err := stream.Send(message); err != nil {
			t.Fatalf("ExecTaskStreaming: %v", err)
		}
	}
	text, exit := "", int32(-1)
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("ExecTaskStreaming: %v", err)
		}
		text += string(message.GetStdout().GetData())
		if message.Exited {
			exit = message.Result.ExitCode
		}
	}
	if text != "through the stream\n" || exit != 5 {
		t.Fatalf("ExecTaskStreaming: %q, exit code %d", text, exit)
	}
}

// The plugin is killed; its successor takes the task over by its handle and stops it.
func TestDriverRecoversAndStops(t *testing.T) {
	state := stateDir(t)
	h := driverHost(t, state)
	config, dirs := makeTask(t, `trap 'echo end; exit 9' TERM; echo up; while :; do sleep 0.05; done`)
	out := collect(t, dirs.stdout)
	collect(t, dirs.stderr)
	started, err := h.driver.StartTask(soon(t), &driverpb.StartTaskRequest{Task: config})
	if err != nil {
		t.Fatalf("StartTask: %v", err)
	}
	out("up")
	if err := syscall.Kill(h.client.ReattachConfig().Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !h.client.Exited(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the plugin did not die of SIGKILL")
		}
	}
	h = driverHost(t, state)
	defer h.client.Kill()
	handle := started.Handle
	handle.Config.MsgpackDriverConfig = nil // as Nomad sends it after a restart
	if _, err := h.driver.RecoverTask(soon(t), &driverpb.RecoverTaskRequest{Handle: handle}); err != nil {
		t.Fatalf("RecoverTask: %v", err)
	}
	if _, err := h.driver.StopTask(soon(t), &driverpb.StopTaskRequest{TaskId: config.Id, Signal: "SIGTERM",
		Timeout: durationpb.New(10 * time.Second)}); err != nil {
		t.Fatalf("StopTask: %v", err)
	}
	out("end")
	ended, err := h.driver.WaitTask(soon(t), &driverpb.WaitTaskRequest{TaskId: config.Id})
	if err != nil || ended.GetResult().GetExitCode() != 9 {
		t.Fatalf("WaitTask: %v %v", ended, err)
	}
	if _, err := h.driver.DestroyTask(soon(t), &driverpb.DestroyTaskRequest{TaskId: config.Id}); err != nil {
		t.Fatalf("DestroyTask: %v", err)
	}
}

// A host that has gone comes back to the same process, as a Nomad agent does after a restart.
func TestHostReattaches(t *testing.T) {
	h := driverHost(t, stateDir(t))
	log := &bytes.Buffer{}
	config := clientConfig(t, log, wire.DriverName)
	config.Reattach = h.client.ReattachConfig()
	again := connect(t, config, log, wire.DriverName)
	again.checkInfo(basepb.PluginType_DRIVER)
	if _, err := again.driver.StartTask(soon(t), &driverpb.StartTaskRequest{Task: &driverpb.TaskConfig{Id: "a/b/c"}}); err == nil {
		t.Fatal("StartTask without a command succeeded")
	} else if code := status.Code(err); code == codes.Unavailable || code == codes.Canceled {
		t.Fatalf("StartTask: %v reads as the death of the plugin", err)
	}
	began := time.Now()
	again.client.Kill()
	h.client.Kill()
	if took := time.Since(began); took > 2*time.Second {
		t.Fatalf("the plugin took %v to end: it was killed, not asked", took)
	}
}

// --- device -------------------------------------------------------------------------------------------------------

func TestDevice(t *testing.T) {
	path := os.Getenv("DROVER_INTEROP_DEVICE")
	if path == "" {
		t.Skip("DROVER_INTEROP_DEVICE is not set")
	}
	h := launch(t, path, wire.DeviceName)
	defer h.client.Kill()
	h.checkInfo(basepb.PluginType_DEVICE)
	config := map[string]interface{}{}
	if text := os.Getenv("DROVER_INTEROP_DEVICE_CONFIG"); text != "" {
		if err := json.Unmarshal([]byte(text), &config); err != nil {
			t.Fatal(err)
		}
	}
	h.setConfig(config)
	prints, err := h.device.Fingerprint(soon(t), &devicepb.FingerprintRequest{})
	if err != nil {
		t.Fatal(err)
	}
	first, err := prints.Recv()
	if err != nil || len(first.DeviceGroup) == 0 || len(first.DeviceGroup[0].Devices) == 0 {
		t.Fatalf("Fingerprint: %v %v", first, err)
	}
	group := first.DeviceGroup[0]
	if group.Vendor == "" || group.DeviceType == "" || group.DeviceName == "" {
		t.Fatalf("Fingerprint: a group without a name: %v", group)
	}
	id := group.Devices[0].ID
	reserved, err := h.device.Reserve(soon(t), &devicepb.ReserveRequest{DeviceIds: []string{id}})
	if err != nil || reserved.ContainerRes == nil {
		t.Fatalf("Reserve: %v %v", reserved, err)
	}
	if _, err := h.device.Reserve(soon(t), &devicepb.ReserveRequest{DeviceIds: []string{"no such device"}}); err == nil {
		t.Fatal("Reserve of a device that is not there succeeded")
	}
	stats, err := h.device.Stats(soon(t), &devicepb.StatsRequest{CollectionInterval: durationpb.New(50 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	sample, err := stats.Recv()
	if err != nil {
		t.Fatalf("Stats: %v", err)
	}
	for _, groups := range sample.Groups {
		for name, instance := range groups.InstanceStats {
			if instance.Timestamp == nil || instance.Summary == nil {
				t.Fatalf("Stats: %s: %v", name, instance)
			}
		}
	}
}
