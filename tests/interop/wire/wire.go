// SPDX-License-Identifier: Apache-2.0

// Package wire is what Nomad and its plugins agree on above go-plugin: the handshake, the names in the plugin map, and
// the base service that drivers and devices share. The messages are generated from drover's own proto/plugin.
package wire

import (
	"bytes"
	"context"

	"github.com/hashicorp/go-msgpack/codec"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"drover.test/interop/gen/basepb"
	"drover.test/interop/gen/devicepb"
	"drover.test/interop/gen/driverpb"
	"drover.test/interop/gen/hclspecpb"
)

const (
	APIVersion = "v0.1.0"
	BaseName   = "base"
	DriverName = "driver"
	DeviceName = "device"
)

var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  2,
	MagicCookieKey:   "NOMAD_PLUGIN_MAGIC_COOKIE",
	MagicCookieValue: "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255",
}

// Base, Driver and Device are go-plugin's entries of the plugin map; the host's side hands out plain gRPC clients.
type Base struct {
	plugin.NetRPCUnsupportedPlugin
	Service basepb.BasePluginServer
}

func (p *Base) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	basepb.RegisterBasePluginServer(s, p.Service)
	return nil
}

func (p *Base) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (interface{}, error) {
	return basepb.NewBasePluginClient(c), nil
}

type Driver struct {
	plugin.NetRPCUnsupportedPlugin
	Service driverpb.DriverServer
}

func (p *Driver) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	driverpb.RegisterDriverServer(s, p.Service)
	return nil
}

func (p *Driver) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (interface{}, error) {
	return driverpb.NewDriverClient(c), nil
}

type Device struct {
	plugin.NetRPCUnsupportedPlugin
	Service devicepb.DevicePluginServer
}

func (p *Device) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	devicepb.RegisterDevicePluginServer(s, p.Service)
	return nil
}

func (p *Device) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (interface{}, error) {
	return devicepb.NewDevicePluginClient(c), nil
}

// BaseService is the base service of a plugin that keeps its config as Config, a pointer to a struct with codec tags.
type BaseService struct {
	basepb.UnimplementedBasePluginServer
	Info   *basepb.PluginInfoResponse
	Schema *hclspecpb.Spec
	Config interface{}
}

func (b *BaseService) PluginInfo(context.Context, *basepb.PluginInfoRequest) (*basepb.PluginInfoResponse, error) {
	return b.Info, nil
}

func (b *BaseService) ConfigSchema(context.Context, *basepb.ConfigSchemaRequest) (*basepb.ConfigSchemaResponse, error) {
	return &basepb.ConfigSchemaResponse{Spec: b.Schema}, nil
}

func (b *BaseService) SetConfig(_ context.Context, r *basepb.SetConfigRequest) (*basepb.SetConfigResponse, error) {
	return &basepb.SetConfigResponse{}, Decode(r.MsgpackConfig, b.Config)
}

func handle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{}
	h.RawToString = true
	return h
}

// Decode and Encode are msgpack as Go plugins read and hosts write it.
func Decode(data []byte, out interface{}) error {
	return codec.NewDecoder(bytes.NewReader(data), handle()).Decode(out)
}

func Encode(in interface{}) ([]byte, error) {
	var out bytes.Buffer
	err := codec.NewEncoder(&out, handle()).Encode(in)
	return out.Bytes(), err
}

// Attr is an attribute of a config block; Object is the block.
func Attr(name, kind string, required bool) *hclspecpb.Spec {
	return &hclspecpb.Spec{Block: &hclspecpb.Spec_Attr{Attr: &hclspecpb.Attr{Name: name, Type: kind, Required: required}}}
}

func Object(attributes map[string]*hclspecpb.Spec) *hclspecpb.Spec {
	return &hclspecpb.Spec{Block: &hclspecpb.Spec_Object{Object: &hclspecpb.Object{Attributes: attributes}}}
}
