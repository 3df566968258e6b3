package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
)

// wideName is the Service with very many endpoints, and wideSlice how many endpoints its slices have:
// what the EndpointSlice controller gives them unless told otherwise.
const (
	wideName  = "wide"
	wideSlice = 100
)

// writers is how many requests are under way at once.
const writers = 32

// seed fills the API server with the dataset.
func (c *cluster) seed(ctx context.Context, wide int, say func(string, ...any)) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: dataset.Namespace}}
	if _, err := c.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create namespace %s: %w", dataset.Namespace, err)
	}
	if err := c.node(ctx, dataset.Near, nearAddresses...); err != nil {
		return err
	}
	if err := c.node(ctx, dataset.Far); err != nil {
		return err
	}
	svc, slice := dataset.DNSService()
	if err := c.create(ctx, svc, slice); err != nil {
		return err
	}
	if err := c.seedWide(ctx, wide); err != nil {
		return err
	}
	return c.seedServices(ctx, say)
}

func (c *cluster) seedServices(ctx context.Context, say func(string, ...any)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	var done atomic.Int64
	directly := newStore()
	begin, told := time.Now(), time.Now()
	for i := range c.services {
		group.Go(func() error {
			name := dataset.Name(i)
			defer done.Add(1)
			if directly != nil {
				return directly.service(ctx, i)
			}
			return c.create(ctx,
				dataset.Service(dataset.Namespace, name, dataset.VIP(i)),
				dataset.Slice(dataset.Namespace, name, name, dataset.Endpoints(i)))
		})
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			say("%d of %d Services written after %s", done.Load(), c.services, time.Since(begin).Round(time.Second))
		}
	}
	return group.Wait()
}

func (c *cluster) seedWide(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	if err := c.create(ctx, dataset.Service(dataset.Namespace, wideName, dataset.WideVIP)); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for i := range (n + wideSlice - 1) / wideSlice {
		group.Go(func() error { return c.create(ctx, nil, wideSliceOf(n, i)) })
	}
	return group.Wait()
}

// wideSliceOf is slice i of the wide Service.
func wideSliceOf(n, i int) *discoveryv1.EndpointSlice {
	all := dataset.Wide(n)
	return dataset.Slice(dataset.Namespace, wideName, fmt.Sprintf("%s-%03d", wideName, i),
		all[i*wideSlice:min((i+1)*wideSlice, n)])
}

// create writes a Service, if there is one, and slices.
func (c *cluster) create(ctx context.Context, svc *corev1.Service, slices ...*discoveryv1.EndpointSlice) error {
	if svc != nil {
		if _, err := c.client.CoreV1().Services(svc.Namespace).Create(ctx, svc, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create Service %s: %w", svc.Name, err)
		}
	}
	for _, slice := range slices {
		if _, err := c.client.DiscoveryV1().EndpointSlices(slice.Namespace).Create(ctx, slice, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create EndpointSlice %s: %w", slice.Name, err)
		}
	}
	return nil
}

// clear deletes what seed made, for those who share the API server with others. It goes on after errors and returns the
// first.
func (c *cluster) clear(ctx context.Context) error {
	var first error
	note := func(err error) {
		if err != nil && first == nil && !apierrors.IsNotFound(err) {
			first = fmt.Errorf("remove the dataset: %w", err)
		}
	}
	all, one := metav1.ListOptions{}, metav1.DeleteOptions{}
	note(c.client.DiscoveryV1().EndpointSlices(dataset.Namespace).DeleteCollection(ctx, one, all))
	services, err := c.client.CoreV1().Services(dataset.Namespace).List(ctx, all)
	note(err)
	if err == nil {
		for _, svc := range services.Items {
			note(c.client.CoreV1().Services(dataset.Namespace).Delete(ctx, svc.Name, one))
		}
	}
	svc, slice := dataset.DNSService()
	note(c.client.DiscoveryV1().EndpointSlices(slice.Namespace).Delete(ctx, slice.Name, one))
	note(c.client.CoreV1().Services(svc.Namespace).Delete(ctx, svc.Name, one))
	for _, node := range []string{dataset.Near, dataset.Far} {
		note(c.client.CoreV1().Nodes().Delete(ctx, node, one))
	}
	return first
}
