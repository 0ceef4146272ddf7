package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// shared uses two servers on one store at once. Every promise of the API must hold across them.
func shared(words []string) {
	servers := []*kubernetes.Clientset{client(words[0]), client(words[1])}
	ns := namespace(servers[0], "spine-shared")
	freshness(servers, ns)
	counters(servers, ns)
	races(servers, ns)
	order(servers, ns)
	services(servers, ns)
}

// each runs work for every worker at once.
func each(workers int, work func(worker int)) {
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() { work(worker) })
	}
	all.Wait()
}

// freshness: what one server acknowledged, the other shows, in every kind of consistent read, and takes as current.
func freshness(servers []*kubernetes.Clientset, ns string) {
	var reads atomic.Int64
	each(8, func(worker int) {
		name := fmt.Sprintf("fresh-%d", worker)
		one, other := servers[worker%2].CoreV1().ConfigMaps(ns), servers[1-worker%2].CoreV1().ConfigMaps(ns)
		for round := range 40 {
			value := strconv.Itoa(round)
			made := must(one.Create(ctx, configMap(name, name, value), metav1.CreateOptions{}))
			got, err := other.Get(ctx, name, metav1.GetOptions{})
			if err != nil || got.ResourceVersion != made.ResourceVersion {
				fail("stale get of %s in round %d: %v", name, round, err)
			}
			list := must(other.List(ctx, metav1.ListOptions{LabelSelector: "kind=" + name, Limit: 1}))
			if len(list.Items) != 1 || list.Items[0].ResourceVersion != made.ResourceVersion {
				fail("stale list of %s in round %d: %d items", name, round, len(list.Items))
			}
			got.Data["v"] = "next"
			changed, err := other.Update(ctx, got, metav1.UpdateOptions{})
			if err != nil {
				fail("false conflict: update of %s just read: %v", name, err)
			}
			changed.Data["v"] = "last"
			changed, err = one.Update(ctx, changed, metav1.UpdateOptions{})
			if err != nil {
				fail("false conflict: update of %s just updated elsewhere: %v", name, err)
			}
			if _, err = other.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"v":"patched"}}`), metav1.PatchOptions{}); err != nil {
				fail("patch of %s: %v", name, err)
			}
			if again := must(one.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"v":"patched"}}`), metav1.PatchOptions{})); again.ResourceVersion == changed.ResourceVersion {
				fail("the patch that changes nothing was answered from before the other's")
			}
			got.Data["v"] = "late"
			if _, err = one.Update(ctx, got, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
				fail("an update of an old version was taken: %v", err)
			}
			check(one.Delete(ctx, name, metav1.DeleteOptions{}))
			if _, err = other.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				fail("stale get of deleted %s: %v", name, err)
			}
			if err = other.Delete(ctx, name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
				fail("deleted %s was deleted again: %v", name, err)
			}
			reads.Add(3)
		}
	})
	fmt.Println("no stale read, no false conflict:", reads.Load(), "reads after writes elsewhere")
}

// counters: increments through both servers at once; none is lost.
func counters(servers []*kubernetes.Clientset, ns string) {
	const workers, rounds = 8, 25
	must(servers[0].CoreV1().ConfigMaps(ns).Create(ctx, configMap("counter", "x", "0"), metav1.CreateOptions{}))
	each(workers, func(worker int) {
		maps := servers[worker%2].CoreV1().ConfigMaps(ns)
		for range rounds {
			for {
				got := must(maps.Get(ctx, "counter", metav1.GetOptions{}))
				got.Data["v"] = strconv.Itoa(must(strconv.Atoi(got.Data["v"])) + 1)
				_, err := maps.Update(ctx, got, metav1.UpdateOptions{})
				if err == nil {
					break
				}
				if !apierrors.IsConflict(err) {
					fail("increment: %v", err)
				}
			}
		}
	})
	for i, server := range servers {
		if v := must(server.CoreV1().ConfigMaps(ns).Get(ctx, "counter", metav1.GetOptions{})).Data["v"]; v != strconv.Itoa(workers*rounds) {
			fail("server %d counts %s instead of %d", i, v, workers*rounds)
		}
	}
	fmt.Println("no lost update:", workers*rounds, "increments")
}

// races: of several at once exactly one creates, exactly one deletes.
func races(servers []*kubernetes.Clientset, ns string) {
	for round := range 30 {
		var made, deleted atomic.Int64
		name := fmt.Sprintf("race-%d", round)
		each(6, func(worker int) {
			_, err := servers[worker%2].CoreV1().ConfigMaps(ns).Create(ctx, configMap(name, "x", "0"), metav1.CreateOptions{})
			if err == nil {
				made.Add(1)
			} else if !apierrors.IsAlreadyExists(err) {
				fail("create of %s: %v", name, err)
			}
		})
		each(6, func(worker int) {
			err := servers[worker%2].CoreV1().ConfigMaps(ns).Delete(ctx, name, metav1.DeleteOptions{})
			if err == nil {
				deleted.Add(1)
			} else if !apierrors.IsNotFound(err) {
				fail("delete of %s: %v", name, err)
			}
		})
		if made.Load() != 1 || deleted.Load() != 1 {
			fail("%s was created %d times and deleted %d times", name, made.Load(), deleted.Load())
		}
	}
	fmt.Println("one winner each: 30 creates, 30 deletes")
}

// order: a watch on each server sees the same events in the same order.
func order(servers []*kubernetes.Clientset, ns string) {
	start := must(servers[0].CoreV1().ConfigMaps(ns).List(ctx, metav1.ListOptions{})).ResourceVersion
	watches := []watch.Interface{}
	for _, server := range servers {
		watches = append(watches, must(server.CoreV1().ConfigMaps(ns).Watch(ctx, metav1.ListOptions{ResourceVersion: start, LabelSelector: "kind=order"})))
	}
	const workers, rounds = 6, 20
	each(workers, func(worker int) {
		maps := servers[worker%2].CoreV1().ConfigMaps(ns)
		for round := range rounds {
			name := fmt.Sprintf("order-%d-%d", worker, round)
			must(maps.Create(ctx, configMap(name, "order", "0"), metav1.CreateOptions{}))
			must(maps.Patch(ctx, name, types.MergePatchType, []byte(`{"data":{"v":"1"}}`), metav1.PatchOptions{}))
			check(maps.Delete(ctx, name, metav1.DeleteOptions{}))
		}
	})
	seen := make([][]string, len(watches))
	for i, w := range watches {
		last := 0
		for range workers * rounds * 3 {
			select {
			case event := <-w.ResultChan():
				m, ok := event.Object.(*corev1.ConfigMap)
				if !ok {
					fail("server %d sent %s %v", i, event.Type, event.Object)
				}
				version := must(strconv.Atoi(m.ResourceVersion))
				if version <= last {
					fail("server %d went back from %d to %d", i, last, version)
				}
				last = version
				seen[i] = append(seen[i], fmt.Sprint(event.Type, m.Name, version))
			case <-time.After(20 * time.Second):
				fail("server %d has sent %d events and is silent", i, len(seen[i]))
			}
		}
		w.Stop()
	}
	for n := range seen[0] {
		if seen[0][n] != seen[1][n] {
			fail("event %d is %s on one server and %s on the other", n, seen[0][n], seen[1][n])
		}
	}
	fmt.Println("the same events in the same order:", len(seen[0]))
}

func nodePort(name, address string, port int32) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, ClusterIP: address, Ports: []corev1.ServicePort{{Port: 80, NodePort: port}},
	}}
}

// services: no address and no port is given twice, by either server, whether chosen or claimed.
func services(servers []*kubernetes.Clientset, ns string) {
	const workers, rounds = 16, 12
	var mu sync.Mutex
	addresses, ports := map[string]string{}, map[int32]string{}
	each(workers, func(worker int) {
		for round := range rounds {
			name := fmt.Sprintf("s-%d-%d", worker, round)
			made, err := servers[worker%2].CoreV1().Services(ns).Create(ctx, nodePort(name, "", 0), metav1.CreateOptions{})
			if err != nil {
				fail("service %s: %v", name, err)
			}
			mu.Lock()
			address, port := made.Spec.ClusterIP, made.Spec.Ports[0].NodePort
			if addresses[address] != "" || ports[port] != "" {
				fail("%s got %s %d, which %s and %s have", name, address, port, addresses[address], ports[port])
			}
			addresses[address], ports[port] = name, name
			mu.Unlock()
		}
	})
	fmt.Println("no double allocation:", len(addresses), "addresses,", len(ports), "ports")
	claims(servers, ns)
	released(servers, ns)
}

func claims(servers []*kubernetes.Clientset, ns string) {
	for round := range 20 {
		var byAddress, byPort atomic.Int64
		each(4, func(worker int) {
			name := fmt.Sprintf("c-%d-%d", round, worker)
			address := fmt.Sprintf("10.43.0.%d", 20+round)
			c := servers[worker%2].CoreV1().Services(ns)
			if _, err := c.Create(ctx, nodePort(name, address, 0), metav1.CreateOptions{}); err == nil {
				byAddress.Add(1)
			} else if !apierrors.IsInvalid(err) {
				fail("claim of %s: %v", address, err)
			}
			if _, err := c.Create(ctx, nodePort(name+"-p", "", int32(30001+round)), metav1.CreateOptions{}); err == nil {
				byPort.Add(1)
			} else if !apierrors.IsInvalid(err) {
				fail("claim of port %d: %v", 30001+round, err)
			}
		})
		if byAddress.Load() != 1 || byPort.Load() != 1 {
			fail("round %d: an address went to %d, a port to %d", round, byAddress.Load(), byPort.Load())
		}
	}
	fmt.Println("one winner each: 20 claimed addresses, 20 claimed ports")
}

// released: what one server frees, the other can give again.
func released(servers []*kubernetes.Clientset, ns string) {
	list := must(servers[0].CoreV1().Services(ns).List(ctx, metav1.ListOptions{}))
	each(8, func(worker int) {
		one, other := servers[worker%2].CoreV1().Services(ns), servers[1-worker%2].CoreV1().Services(ns)
		for i, s := range list.Items {
			if i%8 != worker {
				continue
			}
			check(one.Delete(ctx, s.Name, metav1.DeleteOptions{}))
			again := nodePort(s.Name+"-again", s.Spec.ClusterIP, s.Spec.Ports[0].NodePort)
			short, cancel := context.WithTimeout(ctx, 10*time.Second)
			for {
				_, err := other.Create(short, again, metav1.CreateOptions{})
				if err == nil {
					break
				}
				// the other server may learn of the release a moment later
				if !apierrors.IsInvalid(err) || short.Err() != nil {
					fail("%s %d was freed and cannot be had: %v", s.Spec.ClusterIP, s.Spec.Ports[0].NodePort, err)
				}
			}
			cancel()
		}
	})
	fmt.Println("given again:", len(list.Items))
	for _, s := range must(servers[1].CoreV1().Services(ns).List(ctx, metav1.ListOptions{})).Items {
		check(servers[0].CoreV1().Services(ns).Delete(ctx, s.Name, metav1.DeleteOptions{}))
	}
}
