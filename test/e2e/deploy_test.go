//go:build linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

const deployFolder = "../../deploy/"

// manifests are objects that deploy/ makes.
type manifests []*unstructured.Unstructured

// rendered has test/tools/render make the objects, as kubectl and helm would.
func rendered(t testing.TB, args ...string) (all manifests) {
	t.Helper()
	out, err := exec.Command(mustEnv(t, "FAIRLEAD_TEST_RENDER"), args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("render %q: %v: %s", args, err, exit.Stderr)
	}
	must(t, err)
	reader := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(out), 4096)
	for {
		o := new(unstructured.Unstructured)
		if err := reader.Decode(&o.Object); errors.Is(err, io.EOF) {
			return all
		} else if must(t, err); len(o.Object) > 0 {
			all = append(all, o)
		}
	}
}

// of returns the one object of a kind.
func (all manifests) of(t testing.TB, kind string, into any) {
	t.Helper()
	for _, o := range all {
		if o.GetKind() == kind {
			must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into))
			return
		}
	}
	t.Fatalf("there is no %s", kind)
}

// pod is a Pod as the DaemonSet's controller would make it.
func (all manifests) pod(t testing.TB) *corev1.Pod {
	t.Helper()
	var set appsv1.DaemonSet
	all.of(t, "DaemonSet", &set)
	pod := &corev1.Pod{ObjectMeta: set.Spec.Template.ObjectMeta, Spec: set.Spec.Template.Spec}
	pod.Namespace, pod.Name = set.Namespace, "fairlead-x"
	return pod
}

// installer creates objects as `kubectl apply --validate=strict` would, and collects the API server's warnings.
type installer struct {
	mapper   func(o *unstructured.Unstructured) dynamic.ResourceInterface
	warnings []string
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (i *installer) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	i.warnings = append(i.warnings, text)
}

func newInstaller(t testing.TB, a *api) *installer {
	t.Helper()
	i := &installer{}
	config := rest.CopyConfig(a.config)
	config.WarningHandlerWithContext = i
	client, err := dynamic.NewForConfig(config)
	must(t, err)
	groups, err := restmapper.GetAPIGroupResources(a.client.Discovery())
	must(t, err)
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	i.mapper = func(o *unstructured.Unstructured) dynamic.ResourceInterface {
		m, err := mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
		must(t, err)
		if o.GetNamespace() == "" {
			return client.Resource(m.Resource)
		}
		return client.Resource(m.Resource).Namespace(o.GetNamespace())
	}
	return i
}

// create creates an object until the test ends, or only tries to.
func (i *installer) create(t testing.TB, o *unstructured.Unstructured, dryRun bool) {
	t.Helper()
	options := metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	_, err := i.mapper(o).Create(t.Context(), o, options)
	if err != nil {
		t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
	}
	if !dryRun {
		t.Cleanup(func() { _ = i.mapper(o).Delete(context.Background(), o.GetName(), metav1.DeleteOptions{}) })
	}
}

// TestTheAPIServerTakesTheManifests gives everything that deploy/ makes to the API server, which refuses fields
// that it does not know, and a Pod of each DaemonSet, too.
func TestTheAPIServerTakesTheManifests(t *testing.T) {
	kerneltest.Want(t)
	a := newAPI(t)
	chart := deployFolder + "chart/fairlead"
	for name, args := range map[string][]string{
		"base": {"kustomize", deployFolder + "kustomize/base"}, "api-server": {"kustomize", deployFolder + "kustomize/overlays/api-server"},
		"kubeadm": {"kustomize", deployFolder + "kustomize/overlays/kubeadm"},
		"chart":   {"helm", chart, "apiServer.host=192.0.2.10"},
		"chart with other values": {
			"helm", chart, "kubeconfig.configMap=kube-proxy", "config.ipvs.scheduler=mh", "config.healthzBindAddress=0.0.0.0:10300",
			"image.pullPolicy=Always", "imagePullSecrets[0]=key", "maxUnavailable=10%", "podAnnotations.a=b", "podLabels.c=d",
			"extraEnv[0].name=E", "extraEnv[0].value=F", "resources.limits.memory=1Gi", "nodeSelector.disk=ssd",
			"tolerations[0].key=x", "tolerations[0].operator=Exists",
		},
		"chart without the init container": {"helm", chart, "apiServer.host=192.0.2.10", "init.enabled=false"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstaller(t, a)
			all := rendered(t, args...)
			if len(all) != 5 {
				t.Errorf("%d objects, want 5", len(all))
			}
			for _, o := range all {
				i.create(t, o, true)
			}
			_, err := a.client.CoreV1().Pods(metav1.NamespaceSystem).Create(t.Context(), all.pod(t), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			must(t, err)
			if len(i.warnings) > 0 {
				t.Errorf("the API server warns: %s", strings.Join(i.warnings, "\n"))
			}
		})
	}
	t.Run("a field that does not exist", func(t *testing.T) {
		i, all := newInstaller(t, a), rendered(t, "kustomize", deployFolder+"kustomize/base")
		for _, o := range all {
			if o.GetKind() == "DaemonSet" {
				must(t, unstructured.SetNestedField(o.Object, "x", "spec", "template", "spec", "hostNetwrok"))
				if _, err := i.mapper(o).Create(t.Context(), o, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll}}); err == nil {
					t.Error("it was taken: this test sees nothing")
				}
			}
		}
	})
}

// capabilities are those that the DaemonSet's container keeps.
func (all manifests) capabilities(t testing.TB) (caps []string) {
	t.Helper()
	security := all.pod(t).Spec.Containers[0].SecurityContext
	if c := security.Capabilities; c == nil || !slices.Equal(c.Drop, []corev1.Capability{"ALL"}) || security.Privileged != nil {
		t.Fatalf("the daemon may do more than it needs: %+v", security)
	}
	for _, name := range security.Capabilities.Add {
		caps = append(caps, string(name))
	}
	return caps
}
