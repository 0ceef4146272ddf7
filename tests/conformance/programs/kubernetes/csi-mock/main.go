// csi-mock serves upstream's mock CSI driver on a socket and registers it with the kubelet; every call is a line of JSON.
//
//	csi-mock NAME NODE FOLDER REGISTRY [FLAG…]     flags: attach, ephemeral, topology
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
	"k8s.io/kubernetes/test/e2e/storage/drivers/csi-test/driver"
	"k8s.io/kubernetes/test/e2e/storage/drivers/csi-test/mock/service"
)

type registrar struct {
	registration.UnimplementedRegistrationServer
	name, endpoint string
}

func (r registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{Type: registration.CSIPlugin, Name: r.name, Endpoint: r.endpoint, SupportedVersions: []string{"1.0.0"}}, nil
}

func (r registrar) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	say("NotifyRegistrationStatus", s, nil)
	return &registration.RegistrationStatusResponse{}, nil
}

var output sync.Mutex

func say(method string, request any, err error) {
	output.Lock()
	defer output.Unlock()
	line := map[string]any{"method": filepath.Base(method), "request": request}
	if err != nil {
		line["error"] = err.Error()
	}
	text, problem := json.Marshal(line)
	if problem != nil {
		log.Fatal(problem)
	}
	fmt.Println(string(text))
}

func logged(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	response, err := handler(ctx, request)
	say(info.FullMethod, request, err)
	return response, err
}

func listen(path string) net.Listener {
	if err := os.RemoveAll(path); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func main() {
	name, node, folder, registry, flags := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5:]
	if err := os.MkdirAll(folder, 0o755); err != nil {
		log.Fatal(err)
	}
	mock := service.New(service.Config{
		DriverName:            node,
		DisableAttach:         !slices.Contains(flags, "attach"),
		PermissiveTargetPath:  slices.Contains(flags, "ephemeral"),
		EnableTopology:        slices.Contains(flags, "topology"),
		NodeExpansionRequired: true,
	})
	socket := filepath.Join(folder, "csi.sock")
	served := driver.NewCSIDriver(&driver.CSIDriverServers{Controller: mock, Identity: mock, Node: mock})
	if err := served.Start(listen(socket), logged); err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, registrar{name: name, endpoint: socket})
	log.Fatal(server.Serve(listen(filepath.Join(registry, name+"-reg.sock"))))
}
