// SPDX-License-Identifier: Apache-2.0

// A device plugin in Go on go-plugin: offers as many made-up slots as its config says.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"drover.test/interop/gen/basepb"
	"drover.test/interop/gen/devicepb"
	"drover.test/interop/gen/hclspecpb"
	"drover.test/interop/gen/structspb"
	"drover.test/interop/wire"
)

type config struct {
	Slots int `codec:"slots"`
}

type device struct {
	devicepb.UnimplementedDevicePluginServer
	settings *config
}

func (d *device) ids() []string {
	out := []string{}
	for i := 0; i < d.settings.Slots; i++ {
		out = append(out, fmt.Sprintf("slot-%d", i))
	}
	return out
}

func (d *device) Fingerprint(_ *devicepb.FingerprintRequest, stream devicepb.DevicePlugin_FingerprintServer) error {
	group := &devicepb.DeviceGroup{Vendor: "acme", DeviceType: "slot", DeviceName: "model1",
		Attributes: map[string]*structspb.Attribute{
			"memory": {Value: &structspb.Attribute_IntVal{IntVal: 512}, Unit: "MiB"}}}
	for _, id := range d.ids() {
		group.Devices = append(group.Devices, &devicepb.DetectedDevice{ID: id, Healthy: true})
	}
	if err := stream.Send(&devicepb.FingerprintResponse{DeviceGroup: []*devicepb.DeviceGroup{group}}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

func (d *device) Reserve(_ context.Context, r *devicepb.ReserveRequest) (*devicepb.ReserveResponse, error) {
	for _, id := range r.DeviceIds {
		if !strings.Contains(" "+strings.Join(d.ids(), " ")+" ", " "+id+" ") {
			return nil, status.Errorf(codes.NotFound, "no slot %q", id)
		}
	}
	return &devicepb.ReserveResponse{ContainerRes: &devicepb.ContainerReservation{
		Envs: map[string]string{"ACME_SLOTS": strings.Join(r.DeviceIds, ",")}}}, nil
}

func (d *device) Stats(r *devicepb.StatsRequest, stream devicepb.DevicePlugin_StatsServer) error {
	for {
		group := &devicepb.DeviceGroupStats{Vendor: "acme", Type: "slot", Name: "model1",
			InstanceStats: map[string]*devicepb.DeviceStats{}}
		for i, id := range d.ids() {
			value := &structspb.StatValue{IntNumeratorVal: wrapperspb.Int64(int64(i)),
				IntDenominatorVal: wrapperspb.Int64(512), Unit: "MiB", Desc: "Memory in use"}
			group.InstanceStats[id] = &devicepb.DeviceStats{Summary: value, Timestamp: timestamppb.Now(),
				Stats: &structspb.StatObject{Attributes: map[string]*structspb.StatValue{"memory": value}}}
		}
		if err := stream.Send(&devicepb.StatsResponse{Groups: []*devicepb.DeviceGroupStats{group}}); err != nil {
			return err
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(r.CollectionInterval.AsDuration()):
		}
	}
}

func main() {
	settings := &config{}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: wire.Handshake,
		Plugins: map[string]plugin.Plugin{
			wire.BaseName: &wire.Base{Service: &wire.BaseService{
				Info: &basepb.PluginInfoResponse{
					Type:              basepb.PluginType_DEVICE,
					PluginApiVersions: []string{wire.APIVersion},
					PluginVersion:     "0.1.0",
					Name:              "go-slots",
				},
				Schema: wire.Object(map[string]*hclspecpb.Spec{"slots": wire.Attr("slots", "number", true)}),
				Config: settings,
			}},
			wire.DeviceName: &wire.Device{Service: &device{settings: settings}},
		},
		GRPCServer: plugin.DefaultGRPCServer,
		Logger:     hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, JSONFormat: true, Output: os.Stderr}),
	})
}
