//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// kubeadmConfig is the kubeconfig in kubeadm's ConfigMap kube-proxy.
const kubeadmConfig = `apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    server: %s
  name: default
contexts:
- context: {cluster: default, namespace: default, user: default}
  name: default
current-context: default
users:
- name: default
  user: {tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token}
`

// kubelet is the little of a kubelet that the DaemonSet's Pod wants on the scene's node.
type kubelet struct {
	scene   *scene
	image   *image
	pod     *corev1.Pod
	volumes map[string]string // by name: the folder or file on this machine
	account string            // folder with the service account's token
	fixed   []string          // environment variables of the configuration
}

// serveAsDaemonSet runs the Pod of an overlay as a kubelet would, in the image's file system: first the init
// container, then the daemon with its capabilities only, a /proc/sys that cannot be written, and the token of
// its own service account. It has to serve a Service and warn about another, and its role has to be enough for
// that, and have no verb that is not used.
func serveAsDaemonSet(t *testing.T, image *image, overlay string) {
	s := newScene(t)
	all := rendered(t, "kustomize", deployFolder+"kustomize/overlays/"+overlay)
	i := newInstaller(t, s.api)
	for _, o := range all {
		if k := o.GetKind(); k == "ServiceAccount" || strings.HasPrefix(k, "ClusterRole") {
			i.create(t, o, false)
		}
	}
	s.api.node(s.far, "node2")
	record := newRecorder(t, s.api, s.node.Namespace)
	token := s.token()
	k := newKubelet(s, image, all, record, token)
	init, daemon := k.pod.Spec.InitContainers[0], k.pod.Spec.Containers[0]
	if out := k.container(init).run(s.node, k.argv(init)...); strings.Contains(out, "level=ERROR") {
		t.Errorf("the init container: %s", out)
	}
	c := k.container(daemon)
	c.caps = all.capabilities(t)
	d := begin(t, s.node, c.command(s.node, k.argv(daemon)...))
	k.probe(d)
	s.golang(s.a, s.b, s.c)
	d.waitReals(web4, 3)
	for _, from := range []*lab.Namespace{s.caller.Namespace, s.node.Namespace, s.client.Namespace} {
		s.evenly(s.spread(from, "tcp", web4, 3), 1, "a", "b", "c")
	}
	for _, line := range strings.Split(d.log.String(), "\n") {
		if strings.Contains(line, "Fairlead starts") && !strings.Contains(line, "node=node1") {
			t.Errorf("the daemon does not know its node's name: %s", line)
		}
		// In the lab's network namespaces the limit of connection tracking is the machine's.
		if strings.Contains(strings.ToLower(line), "level=warn") && !strings.Contains(line, "nf_conntrack_max") && !strings.Contains(line, "from=client-go") {
			t.Errorf("the daemon may not do something: %s", line)
		}
	}
	s.warnTwice()
	var role rbacv1.ClusterRole
	all.of(t, "ClusterRole", &role)
	k.onlyAsked(d, record, role)
	s.mayNot(token, "get", "secrets", "")
	s.mayNot(token, "update", "services", "")
	s.mayNot(token, "create", "pods", metav1.NamespaceSystem)
}

// token is one of the installed service account.
func (s *scene) token() string {
	s.t.Helper()
	request, err := s.api.client.CoreV1().ServiceAccounts(metav1.NamespaceSystem).CreateToken(s.t.Context(), "fairlead",
		&authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	must(s.t, err)
	return request.Status.Token
}

// warnTwice makes a Service that gives the same reason to warn twice, so that the second is a patch of the first: it
// wants the node's address, gives it up, and wants it again.
func (s *scene) warnTwice() {
	s.t.Helper()
	wanted := []string{s.node.Addr4.String()}
	s.api.service("greedy", []string{"172.30.15.112"}, func(svc *corev1.Service) { svc.Spec.ExternalIPs = wanted })
	services := s.api.client.CoreV1().Services(namespace)
	for _, external := range [][]string{nil, wanted} {
		time.Sleep(2 * time.Second) // so that each is seen
		svc, err := services.Get(s.t.Context(), "greedy", metav1.GetOptions{})
		must(s.t, err)
		svc.Spec.ExternalIPs = external
		_, err = services.Update(s.t.Context(), svc, metav1.UpdateOptions{})
		must(s.t, err)
	}
}

// mayNot asks the API server itself.
func (s *scene) mayNot(token, verb, resource, namespace string) {
	s.t.Helper()
	config := rest.AnonymousClientConfig(s.api.config)
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	must(s.t, err)
	review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(s.t.Context(), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Resource: resource, Namespace: namespace,
		}},
	}, metav1.CreateOptions{})
	must(s.t, err)
	if review.Status.Allowed {
		s.t.Errorf("Fairlead may %s %s", verb, resource)
	}
}

func newKubelet(s *scene, image *image, all manifests, record *recorder, token string) *kubelet {
	s.t.Helper()
	k := &kubelet{scene: s, image: image, pod: all.pod(s.t), volumes: map[string]string{}, account: s.t.TempDir()}
	files := map[string]string{"token": token, "ca.crt": string(record.ca)}
	for name, text := range files {
		must(s.t, os.WriteFile(filepath.Join(k.account, name), []byte(text), 0o600))
	}
	var config corev1.ConfigMap
	all.of(s.t, "ConfigMap", &config)
	host, port, _ := strings.Cut(strings.TrimPrefix(record.url, "https://"), ":")
	maps := map[string]map[string]string{
		config.Name:  {"config.yaml": strings.Replace(config.Data["config.yaml"], `clusterCIDR: ""`, "clusterCIDR: 172.17.0.0/16,fd00:17::/32", 1), "apiServerHost": host, "apiServerPort": port},
		"kube-proxy": {"kubeconfig.conf": fmt.Sprintf(kubeadmConfig, record.url), "config.conf": "kind: KubeProxyConfiguration"},
	}
	for _, v := range k.pod.Spec.Volumes {
		switch {
		case v.ConfigMap != nil:
			dir := s.t.TempDir()
			for _, item := range v.ConfigMap.Items {
				text, ok := maps[v.ConfigMap.Name][item.Key]
				if !ok {
					s.t.Errorf("volume %s: ConfigMap %s has no key %s", v.Name, v.ConfigMap.Name, item.Key)
				}
				must(s.t, os.WriteFile(filepath.Join(dir, item.Path), []byte(text), 0o600))
			}
			k.volumes[v.Name] = dir
		case v.HostPath.Path == "/run/xtables.lock":
			k.volumes[v.Name] = lockFile(s.t)
		default:
			k.volumes[v.Name] = v.HostPath.Path
		}
	}
	for name, value := range map[string]string{"apiServerHost": host, "apiServerPort": port} {
		k.fixed = append(k.fixed, name+"="+value)
	}
	return k
}

func (k *kubelet) argv(c corev1.Container) []string { return append([]string{daemonPath}, c.Args...) }

// container is one container of the Pod.
func (k *kubelet) container(c corev1.Container) container {
	k.scene.t.Helper()
	made := container{image: k.image, mounts: []mount{{k.account, "/var/run/secrets/kubernetes.io/serviceaccount", true}}}
	made.privileged = c.SecurityContext.Privileged != nil && *c.SecurityContext.Privileged
	for _, m := range c.VolumeMounts {
		made.mounts = append(made.mounts, mount{k.volumes[m.Name], m.MountPath, m.ReadOnly})
	}
	for _, e := range c.Env {
		value := e.Value
		switch from := e.ValueFrom; {
		case from == nil:
		case from.FieldRef != nil && from.FieldRef.FieldPath == "spec.nodeName":
			value = "node1"
		case from.ConfigMapKeyRef != nil:
			for _, pair := range k.fixed {
				if name, text, _ := strings.Cut(pair, "="); name == from.ConfigMapKeyRef.Key {
					value = text
				}
			}
		}
		if value == "" {
			k.scene.t.Errorf("environment variable %s has no value", e.Name)
		}
		made.env = append(made.env, e.Name+"="+value)
	}
	return made
}

// probe asks what the Pod's probes ask.
func (k *kubelet) probe(d *daemon) {
	k.scene.t.Helper()
	c := k.pod.Spec.Containers[0]
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		get := probe.HTTPGet
		if get.Host != "127.0.0.1" {
			k.scene.t.Errorf("a probe asks %q", get.Host)
		}
		if _, err := d.get(get.Port.String(), get.Path); err != nil {
			k.scene.t.Errorf("%s %s: %v", get.Port.String(), get.Path, err)
		}
	}
}

// onlyAsked waits until the daemon has used every verb of its role, and fails when it wanted another one.
func (k *kubelet) onlyAsked(d *daemon, record *recorder, role rbacv1.ClusterRole) {
	k.scene.t.Helper()
	var may []string
	for _, rule := range role.Rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					may = append(may, strings.TrimSuffix(verb+" "+resource+"."+group, "."))
				}
			}
		}
	}
	slices.Sort(may)
	d.eventually("using its whole role", func() error {
		if asked, _ := record.used(); !slices.Equal(asked, may) {
			return fmt.Errorf("asked %q, the role allows %q", asked, may)
		}
		return nil
	})
	if _, refused := record.used(); len(refused) > 0 {
		k.scene.t.Errorf("refused: %q", refused)
	}
}
