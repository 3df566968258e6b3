package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// guestAddress is the host as a guest of test/vm sees it.
const guestAddress = "10.0.2.2"

// readyLimit is how long the API server may take to be ready; 4 seconds on an idle machine.
const readyLimit = 3 * time.Minute

// cluster is an etcd and an API server. Not safe for concurrent use.
type cluster struct {
	dir        string // this run's private folder
	bin        programs
	kubeconfig string

	etcd, apiserver *server
	etcdURL         string
}

// start starts both servers and returns when the API server is ready. After an error, too, stop has
// to be called.
func (c *cluster) start(ctx context.Context) error {
	begin := time.Now()
	ports, err := freePorts(2)
	if err != nil {
		return err
	}
	etcdURL := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	c.etcdURL = etcdURL
	url := fmt.Sprintf("https://127.0.0.1:%d", ports[1])
	token := rand.Text()
	cert, err := c.writeFiles(url, token)
	if err != nil {
		return err
	}
	c.etcd, err = startServer("etcd", c.bin.etcd, c.path("etcd.log"),
		"--data-dir", c.path("etcd"), "--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", "http://127.0.0.1:0", // nobody dials it
		"--unsafe-no-fsync", "--log-level", "warn")
	if err != nil {
		return err
	}
	c.apiserver, err = startServer("kube-apiserver", c.bin.kubeAPIServer, c.path("apiserver.log"),
		c.apiserverArgs(etcdURL, ports[1])...)
	if err != nil {
		return err
	}
	if err := c.awaitReady(ctx, url, token, cert); err != nil {
		return err
	}
	self.Say("%s is ready after %s", url, time.Since(begin).Round(100*time.Millisecond))
	return nil
}

// apiserverArgs are the API server's arguments. It advertises the address that guests of test/vm
// reach it at, so that the Service "kubernetes" works there. Without the ServiceAccount plugin pods
// can be made although no controller makes service accounts. Privileged containers are allowed, as
// kubeadm has it. Priority and fairness would throttle tests that write thousands of objects.
func (c *cluster) apiserverArgs(etcdURL string, port int) []string {
	return []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", port),
		"--advertise-address=" + guestAddress,
		"--tls-cert-file=" + c.path("apiserver.crt"),
		"--tls-private-key-file=" + c.path("apiserver.key"),
		"--token-auth-file=" + c.path("tokens"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.path("accounts.key"),
		"--service-account-signing-key-file=" + c.path("accounts.key"),
		"--service-cluster-ip-range=172.30.0.0/16,fd00:172:30::/108",
		"--disable-admission-plugins=ServiceAccount",
		"--allow-privileged=true",
		"--enable-priority-and-fairness=false",
		"--profiling=false",
	}
}

// writeFiles writes everything the servers and their clients read, and returns the certificate.
func (c *cluster) writeFiles(url, token string) ([]byte, error) {
	cert, key, err := servingCertificate(time.Now())
	if err != nil {
		return nil, err
	}
	_, accounts, err := newKey()
	if err != nil {
		return nil, err
	}
	return cert, writePrivate(map[string][]byte{
		c.path("apiserver.crt"): cert,
		c.path("apiserver.key"): key,
		c.path("accounts.key"):  accounts,
		c.path("tokens"):        []byte(token + ",admin,admin,system:masters\n"),
		c.kubeconfig:            kubeconfig(url, token, cert),
	})
}

// kubeconfig is a client's configuration for the server at url.
func kubeconfig(url, token string, cert []byte) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
clusters:
- name: test
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: admin
  user:
    token: %s
contexts:
- name: test
  context:
    cluster: test
    user: admin
`, url, base64.StdEncoding.EncodeToString(cert), token)
}

// awaitReady asks the API server until it says that it is ready.
func (c *cluster) awaitReady(ctx context.Context, url, token string, cert []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, errors.New("the API server is not ready in time"))
	defer cancel()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	defer client.CloseIdleConnections()
	for !ready(ctx, client, url+"/readyz", token) {
		select {
		case <-c.etcd.exited:
			return c.etcd.failure()
		case <-c.apiserver.exited:
			return c.apiserver.failure()
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), c.apiserver.tail())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// ready asks once; any failure is a no.
func ready(ctx context.Context, client *http.Client, url, token string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // only the status counts
	return resp.StatusCode == http.StatusOK
}

// stop ends both servers, at once: what they store is removed anyhow.
func (c *cluster) stop() {
	c.apiserver.kill()
	c.etcd.kill()
}

// save ends both servers in an orderly way and moves etcd's data to folder, which must not exist.
func (c *cluster) save(folder string) error {
	c.apiserver.kill() // it keeps nothing
	if err := c.etcd.end(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return fmt.Errorf("keeping etcd's data: %w", err)
	}
	if err := os.Rename(c.path("etcd"), folder); err != nil {
		return fmt.Errorf("keeping etcd's data: %w", err)
	}
	return nil
}

func (c *cluster) path(name string) string { return filepath.Join(c.dir, name) }

// freePorts returns n ports of the loopback that nobody listens on. Somebody may take one before we
// do; then the server says so and the run fails.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close() // at the end, so that the ports differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
