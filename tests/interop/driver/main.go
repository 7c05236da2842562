// SPDX-License-Identifier: Apache-2.0

// A driver plugin in Go on go-plugin, as third parties write them: tasks are processes of this machine, each under a
// shell of its own session that outlives the plugin and writes down the exit code.
package main

import (
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"drover.test/interop/gen/basepb"
	"drover.test/interop/gen/hclspecpb"
	"drover.test/interop/wire"
)

type config struct {
	StateDir string `codec:"state_dir"`
}

func main() {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, JSONFormat: true, Output: os.Stderr})
	settings := &config{}
	base := &wire.BaseService{
		Info: &basepb.PluginInfoResponse{
			Type:              basepb.PluginType_DRIVER,
			PluginApiVersions: []string{wire.APIVersion},
			PluginVersion:     "0.1.0",
			Name:              "go-process",
		},
		Schema: wire.Object(map[string]*hclspecpb.Spec{"state_dir": wire.Attr("state_dir", "string", true)}),
		Config: settings,
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: wire.Handshake,
		Plugins: map[string]plugin.Plugin{
			wire.BaseName:   &wire.Base{Service: base},
			wire.DriverName: &wire.Driver{Service: newDriver(logger, settings)},
		},
		GRPCServer: plugin.DefaultGRPCServer,
		Logger:     logger,
	})
}
