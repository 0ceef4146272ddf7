package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
)

// generator asks without decoding: what is measured is the server.
type generator struct {
	base    string
	clients []*http.Client
	accept  string
}

func (g *generator) do(worker int, method, path, media string, body []byte) *http.Response {
	q := must(http.NewRequest(method, g.base+path, bytes.NewReader(body)))
	q.Header.Set("Accept", g.accept)
	if body != nil {
		q.Header.Set("Content-Type", media)
	}
	return must(g.clients[worker%len(g.clients)].Do(q))
}

// run sends one request and reads the whole answer; gives its length.
func (g *generator) run(worker int, method, path, media string, body []byte) int64 {
	answer := g.do(worker, method, path, media, body)
	defer answer.Body.Close()
	if answer.StatusCode >= 300 && answer.StatusCode != http.StatusConflict {
		text, _ := io.ReadAll(answer.Body)
		fail("%s %s: %d %.600s", method, path, answer.StatusCode, text)
	}
	return must(io.Copy(io.Discard, answer.Body))
}

type figures struct {
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Bytes   int64   `json:"bytes"`
}

func load(words []string) {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	count := flags.Int("n", 100, "operations")
	clients := flags.Int("clients", 8, "at once")
	first := flags.Int("first", 0, "the number of the first object")
	watchers := flags.Int("watchers", 0, "watchers, for watch and nodes")
	nodes := flags.Int("nodes", 5000, "nodes pods are spread over")
	ns := flags.String("namespace", "load", "namespace")
	accept := flags.String("accept", "application/json", "form of answers")
	if len(words) < 2 {
		fail("load KUBECONFIG create|get|list|churn|patch|watch|nodes …")
	}
	check(flags.Parse(words[2:]))
	g := &generator{accept: *accept}
	for range 8 {
		c := config(words[0])
		g.base = c.Host
		g.clients = append(g.clients, must(rest.HTTPClientFor(c)))
	}
	pods := "/api/v1/namespaces/" + *ns + "/pods"
	name := func(i int) string { return fmt.Sprintf("%s/pod-%06d", pods, *first+i) }
	label := func(i int) []byte {
		return fmt.Appendf(nil, `{"metadata":{"annotations":{"changed":"%d-%d"}}}`, time.Now().UnixNano(), i)
	}
	const merge = "application/merge-patch+json"
	var total figures
	switch words[1] {
	case "create":
		prepare(g, *ns)
		total = g.times(*count, *clients, func(worker, i int) int64 {
			return g.run(worker, "POST", pods, "application/json", pod(*ns, *first+i, *nodes))
		})
	case "get":
		total = g.times(*count, *clients, func(worker, i int) int64 { return g.run(worker, "GET", name(i%1000), "", nil) })
	case "list":
		total = g.times(*count, *clients, func(worker, _ int) int64 { return g.run(worker, "GET", pods, "", nil) })
	case "churn":
		// the same with nothing left as it was: a change before each
		total = g.times(*count, *clients, func(worker, i int) int64 {
			g.run(worker, "PATCH", name(i*37%1000), merge, label(i))
			return g.run(worker, "GET", pods, "", nil)
		})
	case "patch":
		total = g.times(*count, *clients, func(worker, i int) int64 { return g.run(worker, "PATCH", name(i%1000), merge, label(i)) })
	case "watch":
		paths := make([]string, *watchers)
		for i := range paths {
			paths[i] = pods + "?watch=true&resourceVersion="
		}
		total = g.fanOut(paths, g.version(pods), *count, *count*len(paths), func(i int) { g.run(i, "PATCH", name(i%1000), merge, label(i)) })
	case "nodes":
		paths := make([]string, *watchers)
		for i := range paths {
			paths[i] = fmt.Sprintf("/api/v1/pods?watch=true&fieldSelector=spec.nodeName%%3Dnode-%04d&resourceVersion=", i)
		}
		total = g.fanOut(paths, g.version(pods), *count, *count, func(i int) { g.run(i, "PATCH", name(i), merge, label(i)) })
	default:
		fail("no load %q", words[1])
	}
	check(json.NewEncoder(os.Stdout).Encode(total))
}

// times runs work count times from several clients at once.
func (g *generator) times(count, clients int, work func(worker, i int) int64) figures {
	var next, length atomic.Int64
	latencies := make([]time.Duration, count)
	begin := time.Now()
	each(clients, func(worker int) {
		for {
			i := int(next.Add(1)) - 1
			if i >= count {
				return
			}
			sent := time.Now()
			length.Add(work(worker, i))
			latencies[i] = time.Since(sent)
		}
	})
	took := time.Since(begin).Seconds()
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	ms := func(share int) float64 { return float64(latencies[count*share/100].Microseconds()) / 1000 }
	return figures{count, took, ms(50), ms(99), length.Load()}
}

func (g *generator) version(path string) string {
	answer := g.do(0, "GET", path+"?limit=1", "", nil)
	defer answer.Body.Close()
	var list struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	check(json.NewDecoder(answer.Body).Decode(&list))
	return list.Metadata.ResourceVersion
}

// fanOut opens watches, makes changes, and waits until every event has arrived. It says on standard error when the
// watches stand and waits for a line on standard input: opening them is not what is measured.
func (g *generator) fanOut(paths []string, version string, changes, expected int, change func(i int)) figures {
	var arrived, length atomic.Int64
	done := make(chan struct{})
	var opened sync.WaitGroup
	limit := make(chan struct{}, 64)
	for i, path := range paths {
		opened.Add(1)
		limit <- struct{}{}
		go func() {
			answer := g.do(i, "GET", path+version, "", nil)
			<-limit
			opened.Done()
			if answer.StatusCode != http.StatusOK {
				fail("%s: %d", path, answer.StatusCode)
			}
			lines := bufio.NewReaderSize(answer.Body, 16<<10)
			for {
				part, err := lines.ReadSlice('\n')
				length.Add(int64(len(part)))
				if err == bufio.ErrBufferFull {
					continue
				}
				if err != nil {
					return
				}
				if int(arrived.Add(1)) == expected {
					close(done)
				}
			}
		}()
	}
	opened.Wait()
	fmt.Fprintln(os.Stderr, "standing")
	must(bufio.NewReader(os.Stdin).ReadString('\n'))
	begin := time.Now()
	for i := range changes {
		change(i)
	}
	select {
	case <-done:
	case <-time.After(120 * time.Second):
		fail("%d of %d events arrived", arrived.Load(), expected)
	}
	return figures{Count: expected, Seconds: time.Since(begin).Seconds(), Bytes: length.Load()}
}

func prepare(g *generator, ns string) {
	g.run(0, "POST", "/api/v1/namespaces", "application/json", fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, ns))
	g.run(0, "POST", "/api/v1/namespaces/"+ns+"/serviceaccounts", "application/json", []byte(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}`))
}

// pod is one of a Deployment's pods as they are in clusters: probes, resources, mounts, an owner.
func pod(ns string, i, nodes int) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"pod-%06d","namespace":%q,"labels":{"app":"app-%d","pod-template-hash":"7d9c8b6f5"},
"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"app-7d9c8b6f5","uid":"8f6d3f6e-2c59-4f3e-9a9a-3a1f5b7c1d2e","controller":true,"blockOwnerDeletion":true}]},
"spec":{"nodeName":"node-%04d","automountServiceAccountToken":false,"containers":[{"name":"main","image":"registry.example/team/app:1.2.3","args":["--listen=:8080","--level=info"],
"env":[{"name":"POD_NAME","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"MODE","value":"production"},{"name":"CACHE","value":"redis.cache.svc:6379"}],
"ports":[{"name":"http","containerPort":8080}],"resources":{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"memory":"256Mi"}},
"livenessProbe":{"httpGet":{"path":"/healthz","port":"http"},"periodSeconds":10},"readinessProbe":{"httpGet":{"path":"/ready","port":"http"},"periodSeconds":5},
"volumeMounts":[{"name":"config","mountPath":"/etc/app"},{"name":"data","mountPath":"/data"}]}],
"volumes":[{"name":"config","configMap":{"name":"app"}},{"name":"data","emptyDir":{}}],
"tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}]}}`, i, ns, i%100, i%nodes)
}
