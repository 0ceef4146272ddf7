// Spine is upstream's client library asking an API server what a test wants to know: a transcript comes out that
// names no version, time or identity of one run, so that two servers' transcripts can be compared.
//
//	spine informer KUBECONFIG             WatchList, reflectors, informers
//	spine pages KUBECONFIG                pinned pages, expired tokens (the server compacts every few seconds)
//	spine kinds KUBECONFIG                kinds with several faces
//	spine shared KUBECONFIG KUBECONFIG    two servers on one store: no stale read, false conflict, double allocation
//	spine fill KUBECONFIG                 objects that stay
//	spine openapi KUBECONFIG              OpenAPI 2 in JSON and in protobuf
//	spine load …                          load for the benches, see load.go
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var ctx = context.Background()

func main() {
	commands := map[string]func([]string){"informer": informers, "pages": pages, "kinds": kinds, "shared": shared, "load": load, "fill": fill, "openapi": openapi}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fail("no such command")
	}
	commands[os.Args[1]](os.Args[2:])
}

func fail(format string, words ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", words...)
	os.Exit(1)
}

func must[T any](value T, err error) T {
	if err != nil {
		fail("%v", err)
	}
	return value
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func config(path string) *rest.Config {
	c := must(clientcmd.BuildConfigFromFlags("", path))
	c.QPS, c.Burst = -1, -1
	return c
}

func client(path string) *kubernetes.Clientset { return must(kubernetes.NewForConfig(config(path))) }

// namespace makes a namespace of its own for a command.
func namespace(c kubernetes.Interface, name string) string {
	ns := &metav1.ObjectMeta{Name: name}
	_, err := c.CoreV1().Namespaces().Create(ctx, namespaceOf(ns), metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		fail("namespace %s: %v", name, err)
	}
	return name
}

var numbers = regexp.MustCompile(`\d{3,}|: \d+ \(\d+\)|: \d+, current: \d+`)

// status prints what an error says, without the numbers of this run.
func status(what string, err error) {
	if err == nil {
		fmt.Println(what, "no error")
		return
	}
	answer, ok := err.(apierrors.APIStatus)
	if !ok {
		fmt.Println(what, "not a status:", numbers.ReplaceAllString(err.Error(), "N"))
		return
	}
	s := answer.Status()
	causes := []string{}
	retry := int32(0)
	if s.Details != nil {
		retry = s.Details.RetryAfterSeconds
		for _, cause := range s.Details.Causes {
			causes = append(causes, fmt.Sprintf("%s|%s|%s", cause.Type, cause.Field, cause.Message))
		}
	}
	fmt.Printf("%s %d %s %q causes=%q retry=%d continue=%t\n", what, s.Code, s.Reason, numbers.ReplaceAllString(s.Message, "N"), causes, retry, s.Continue != "")
}

// show prints an object as JSON without what differs from run to run.
func show(what string, object any) {
	var tree any
	check(json.Unmarshal(must(json.Marshal(object)), &tree))
	fmt.Println(what, string(must(json.Marshal(scrub(tree)))))
}

func scrub(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			switch key {
			case "uid", "resourceVersion", "creationTimestamp", "lastTransitionTime":
				if text, ok := inner.(string); ok && text != "" && text != "0" {
					v[key] = strings.ToUpper(key)
				}
			case "managedFields":
				delete(v, key)
			case "autoscaling.alpha.kubernetes.io/conditions":
				v[key] = "CONDITIONS"
			default:
				v[key] = scrub(inner)
			}
		}
	case []any:
		for i := range v {
			v[i] = scrub(v[i])
		}
	}
	return value
}
