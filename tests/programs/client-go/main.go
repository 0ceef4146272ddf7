// A controller as operators write them with client-go: it runs in a pod, learns from its ServiceAccount where the
// API is and who it is, leads by a Lease, watches ConfigMaps by a shared informer with an index, and answers each
// by a Secret applied from the server's side. It serves its readiness and ends when told to.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"k8s.io/client-go/kubernetes/scheme"
)

const (
	byColour = "colour"
	manager  = "echo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	config, err := rest.InClusterConfig()
	check(err)
	client, err := kubernetes.NewForConfig(config)
	check(err)
	namespace, name := os.Getenv("NAMESPACE"), os.Getenv("POD")
	say("serves %s", must(client.Discovery().ServerVersion()).GitVersion)
	forbidden(ctx, client)
	lock := must(resourcelock.New(resourcelock.LeasesResourceLock, namespace, manager, client.CoreV1(), client.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: name}))
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: lock, ReleaseOnCancel: true, Name: manager,
		LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: time.Second,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { lead(ctx, client, namespace, name) },
			OnStoppedLeading: func() { say("leads no more") },
		},
	})
}

// forbidden says what becomes of a request the ServiceAccount may not make.
func forbidden(ctx context.Context, client kubernetes.Interface) {
	_, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	say("nodes: forbidden=%t", apierrors.IsForbidden(err))
}

func lead(ctx context.Context, client kubernetes.Interface, namespace, name string) {
	say("leads")
	events := record.NewBroadcaster(record.WithContext(ctx))
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events(namespace)})
	recorder := events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: manager})
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
	context.AfterFunc(ctx, queue.ShutDown)
	selected := informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = byColour })
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace), selected)
	informer := factory.Core().V1().ConfigMaps().Informer()
	check(informer.AddIndexers(cache.Indexers{byColour: func(o any) ([]string, error) {
		return []string{o.(*corev1.ConfigMap).Labels[byColour]}, nil
	}}))
	add := func(o any) {
		key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o)
		check(err)
		queue.Add(key)
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, o any) { add(o) }, DeleteFunc: add})
	check(err)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	say("synced with %d", len(informer.GetStore().List()))
	go ready()
	for {
		key, ended := queue.Get()
		if ended {
			return
		}
		if err := echo(ctx, client, informer, recorder, key); err != nil {
			say("%s: %v", key, err)
			queue.AddRateLimited(key)
		} else {
			queue.Forget(key)
		}
		queue.Done(key)
	}
}

// echo makes a Secret of a ConfigMap's name that says what the ConfigMap says and how many have its colour.
func echo(ctx context.Context, client kubernetes.Interface, informer cache.SharedIndexInformer, recorder record.EventRecorder, key string) error {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return err
	}
	found, exists, err := informer.GetIndexer().GetByKey(key)
	if err != nil {
		return err
	}
	if !exists {
		say("gone %s", name)
		err := client.CoreV1().Secrets(namespace).Delete(ctx, name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	source := found.(*corev1.ConfigMap)
	same, err := informer.GetIndexer().ByIndex(byColour, source.Labels[byColour])
	if err != nil {
		return err
	}
	data := map[string]string{"said": source.Data["say"], "of": fmt.Sprint(len(same))}
	wanted := applycorev1.Secret(name, namespace).WithStringData(data)
	if _, err := client.CoreV1().Secrets(namespace).Apply(ctx, wanted, metav1.ApplyOptions{FieldManager: manager, Force: true}); err != nil {
		return err
	}
	recorder.Eventf(source, corev1.EventTypeNormal, "Echoed", "said %s", source.Data["say"])
	say("echoed %s", name)
	return nil
}

func ready() {
	http.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ready") })
	check(http.ListenAndServe(":8080", nil))
}

func say(format string, words ...any) { fmt.Printf(format+"\n", words...) }

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
