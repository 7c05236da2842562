// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"drover.test/interop/gen/driverpb"
	"drover.test/interop/gen/hclspecpb"
	"drover.test/interop/gen/structspb"
	"drover.test/interop/wire"
)

type driver struct {
	driverpb.UnimplementedDriverServer
	logger   hclog.Logger
	settings *config
	mutex    sync.Mutex
	tasks    map[string]*task
}

type taskConfig struct {
	Command string   `codec:"command"`
	Args    []string `codec:"args"`
}

func newDriver(logger hclog.Logger, settings *config) *driver {
	return &driver{logger: logger, settings: settings, tasks: map[string]*task{}}
}

func (d *driver) find(id string) (*task, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if t, ok := d.tasks[id]; ok {
		return t, nil
	}
	return nil, status.Errorf(codes.NotFound, "task not found for given id: %s", id)
}

func (d *driver) keep(id string, t *task) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.tasks[id] = t
}

func (d *driver) TaskConfigSchema(context.Context, *driverpb.TaskConfigSchemaRequest) (*driverpb.TaskConfigSchemaResponse, error) {
	return &driverpb.TaskConfigSchemaResponse{Spec: wire.Object(map[string]*hclspecpb.Spec{
		"command": wire.Attr("command", "string", true),
		"args":    wire.Attr("args", "list(string)", false),
	})}, nil
}

func (d *driver) Capabilities(context.Context, *driverpb.CapabilitiesRequest) (*driverpb.CapabilitiesResponse, error) {
	return &driverpb.CapabilitiesResponse{Capabilities: &driverpb.DriverCapabilities{SendSignals: true, Exec: true}}, nil
}

func (d *driver) Fingerprint(_ *driverpb.FingerprintRequest, stream driverpb.Driver_FingerprintServer) error {
	err := stream.Send(&driverpb.FingerprintResponse{
		Health:            driverpb.FingerprintResponse_HEALTHY,
		HealthDescription: "Healthy",
		Attributes: map[string]*structspb.Attribute{
			"driver.go-process.language": {Value: &structspb.Attribute_StringVal{StringVal: "go"}},
			"driver.go-process.buffer":   {Value: &structspb.Attribute_IntVal{IntVal: 4}, Unit: "MiB"},
		},
	})
	if err == nil {
		<-stream.Context().Done()
	}
	return err
}

func (d *driver) TaskEvents(_ *driverpb.TaskEventsRequest, stream driverpb.Driver_TaskEventsServer) error {
	<-stream.Context().Done()
	return nil
}

func (d *driver) StartTask(_ context.Context, r *driverpb.StartTaskRequest) (*driverpb.StartTaskResponse, error) {
	if _, err := d.find(r.Task.Id); err == nil {
		return nil, status.Errorf(codes.AlreadyExists, "task %s exists already", r.Task.Id)
	}
	var c taskConfig
	if err := wire.Decode(r.Task.MsgpackDriverConfig, &c); err != nil {
		return nil, fmt.Errorf("task config: %w", err)
	}
	t, err := startTask(d.settings.StateDir, r.Task, c)
	if err != nil {
		return nil, err
	}
	d.keep(r.Task.Id, t)
	d.logger.Info("task started", "task", r.Task.Id, "pid", t.state.Pid)
	encoded, err := wire.Encode(t.state)
	if err != nil {
		return nil, err
	}
	return &driverpb.StartTaskResponse{Handle: &driverpb.TaskHandle{
		Version: 1, Config: r.Task, State: driverpb.TaskState_RUNNING, DriverState: encoded}}, nil
}

func (d *driver) RecoverTask(_ context.Context, r *driverpb.RecoverTaskRequest) (*driverpb.RecoverTaskResponse, error) {
	id := r.Handle.Config.Id
	if _, err := d.find(id); err == nil {
		return &driverpb.RecoverTaskResponse{}, nil
	}
	t := &task{name: r.Handle.Config.Name}
	if err := wire.Decode(r.Handle.DriverState, &t.state); err != nil {
		return nil, status.Errorf(codes.NotFound, "task %s: handle: %v", id, err)
	}
	if !t.alive() && !t.ended() {
		return nil, status.Errorf(codes.NotFound, "task %s is gone", id)
	}
	d.keep(id, t)
	d.logger.Info("task recovered", "task", id, "pid", t.state.Pid)
	return &driverpb.RecoverTaskResponse{}, nil
}

func (d *driver) WaitTask(ctx context.Context, r *driverpb.WaitTaskRequest) (*driverpb.WaitTaskResponse, error) {
	t, err := d.find(r.TaskId)
	if err != nil {
		return nil, err
	}
	result, err := t.wait(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return &driverpb.WaitTaskResponse{Result: result, Err: err.Error()}, nil
	}
	return &driverpb.WaitTaskResponse{Result: result}, nil
}

func (d *driver) StopTask(ctx context.Context, r *driverpb.StopTaskRequest) (*driverpb.StopTaskResponse, error) {
	t, err := d.find(r.TaskId)
	if err != nil {
		return &driverpb.StopTaskResponse{}, nil
	}
	signal, err := signalNumber(r.Signal, syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	_ = t.signal(signal)
	patience, cancel := context.WithTimeout(ctx, r.Timeout.AsDuration())
	defer cancel()
	if _, err := t.wait(patience); patience.Err() != nil {
		_ = t.signal(syscall.SIGKILL)
		_, err = t.wait(ctx)
		return &driverpb.StopTaskResponse{}, err
	}
	return &driverpb.StopTaskResponse{}, nil
}

func (d *driver) DestroyTask(ctx context.Context, r *driverpb.DestroyTaskRequest) (*driverpb.DestroyTaskResponse, error) {
	t, err := d.find(r.TaskId)
	if err != nil {
		return &driverpb.DestroyTaskResponse{}, nil
	}
	if t.alive() {
		if !r.Force {
			return nil, status.Error(codes.FailedPrecondition, "cannot destroy running task")
		}
		_ = t.signal(syscall.SIGKILL)
		if _, err := t.wait(ctx); err != nil {
			return nil, err
		}
	}
	d.mutex.Lock()
	delete(d.tasks, r.TaskId)
	d.mutex.Unlock()
	return &driverpb.DestroyTaskResponse{}, t.remove()
}

func (d *driver) InspectTask(_ context.Context, r *driverpb.InspectTaskRequest) (*driverpb.InspectTaskResponse, error) {
	t, err := d.find(r.TaskId)
	if err != nil {
		return nil, err
	}
	out := &driverpb.TaskStatus{Id: r.TaskId, Name: t.name, State: driverpb.TaskState_RUNNING,
		StartedAt: timestamppb.New(time.Unix(0, t.state.StartedNs)), CompletedAt: &timestamppb.Timestamp{Seconds: -62135596800},
		Result: &driverpb.ExitResult{}}
	if result, ok := t.exit(); ok {
		out.State, out.Result = driverpb.TaskState_EXITED, result
	}
	return &driverpb.InspectTaskResponse{Task: out, Driver: &driverpb.TaskDriverStatus{}}, nil
}

func (d *driver) TaskStats(r *driverpb.TaskStatsRequest, stream driverpb.Driver_TaskStatsServer) error {
	t, err := d.find(r.TaskId)
	if err != nil {
		return err
	}
	for {
		sample := &driverpb.TaskStats{Id: r.TaskId, Timestamp: timestamppb.Now(), AggResourceUsage: t.usage()}
		if err := stream.Send(&driverpb.TaskStatsResponse{Stats: sample}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(r.CollectionInterval.AsDuration()):
		}
	}
}

func (d *driver) SignalTask(_ context.Context, r *driverpb.SignalTaskRequest) (*driverpb.SignalTaskResponse, error) {
	t, err := d.find(r.TaskId)
	if err != nil {
		return nil, err
	}
	signal, err := signalNumber(r.Signal, 0)
	if err != nil {
		return nil, err
	}
	return &driverpb.SignalTaskResponse{}, t.signal(signal)
}

func exitCode(err error) (int32, error) {
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return int32(exited.ExitCode()), nil
	}
	return 0, err
}

func (d *driver) ExecTask(ctx context.Context, r *driverpb.ExecTaskRequest) (*driverpb.ExecTaskResponse, error) {
	t, err := d.find(r.TaskId)
	if err != nil {
		return nil, err
	}
	if limit := r.Timeout.AsDuration(); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, r.Command[0], r.Command[1:]...)
	command.Stdout, command.Stderr, command.Env = &stdout, &stderr, t.environment()
	code, err := exitCode(command.Run())
	if err != nil {
		return nil, err
	}
	return &driverpb.ExecTaskResponse{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(),
		Result: &driverpb.ExitResult{ExitCode: code}}, nil
}

// A writer whose bytes become messages; both outputs share the stream, so a mutex is theirs.
type outputWriter struct {
	mutex *sync.Mutex
	send  func([]byte) error
}

func (w outputWriter) Write(data []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if err := w.send(append([]byte(nil), data...)); err != nil {
		return 0, err
	}
	return len(data), nil
}

func (d *driver) ExecTaskStreaming(stream driverpb.Driver_ExecTaskStreamingServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.Setup == nil {
		return errors.New("first message should always be setup")
	}
	t, err := d.find(first.Setup.TaskId)
	if err != nil {
		return err
	}
	if first.Setup.Tty {
		return errors.New("go-process has no terminals")
	}
	command := exec.CommandContext(stream.Context(), first.Setup.Command[0], first.Setup.Command[1:]...)
	command.Env = t.environment()
	var mutex sync.Mutex
	command.Stdout = outputWriter{&mutex, func(b []byte) error {
		return stream.Send(&driverpb.ExecTaskStreamingResponse{Stdout: &driverpb.ExecTaskStreamingIOOperation{Data: b}})
	}}
	command.Stderr = outputWriter{&mutex, func(b []byte) error {
		return stream.Send(&driverpb.ExecTaskStreamingResponse{Stderr: &driverpb.ExecTaskStreamingIOOperation{Data: b}})
	}}
	stdin, err := command.StdinPipe()
	if err != nil {
		return err
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("failed to start command: %w", err)
	}
	go feed(stream, stdin)
	code, err := exitCode(command.Wait())
	if err != nil {
		return err
	}
	// Both ends, then how it ended: hosts wait for that order.
	closed := &driverpb.ExecTaskStreamingIOOperation{Close: true}
	if err := stream.Send(&driverpb.ExecTaskStreamingResponse{Stdout: closed}); err != nil {
		return err
	}
	if err := stream.Send(&driverpb.ExecTaskStreamingResponse{Stderr: closed}); err != nil {
		return err
	}
	return stream.Send(&driverpb.ExecTaskStreamingResponse{Exited: true, Result: &driverpb.ExitResult{ExitCode: code}})
}

func feed(stream driverpb.Driver_ExecTaskStreamingServer, stdin io.WriteCloser) {
	defer stdin.Close()
	for {
		message, err := stream.Recv()
		if err != nil {
			return
		}
		if message.Stdin == nil {
			continue
		}
		if _, err := stdin.Write(message.Stdin.Data); err != nil || message.Stdin.Close {
			return
		}
	}
}

var signals = map[string]syscall.Signal{
	"SIGHUP": syscall.SIGHUP, "SIGINT": syscall.SIGINT, "SIGTERM": syscall.SIGTERM,
	"SIGKILL": syscall.SIGKILL, "SIGUSR1": syscall.SIGUSR1, "SIGUSR2": syscall.SIGUSR2,
	"SIGCONT": syscall.SIGCONT,
}

func signalNumber(name string, otherwise syscall.Signal) (syscall.Signal, error) {
	if name == "" && otherwise != 0 {
		return otherwise, nil
	}
	if number, ok := signals[strings.ToUpper(name)]; ok {
		return number, nil
	}
	return 0, fmt.Errorf("unknown signal %q", name)
}
