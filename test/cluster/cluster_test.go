package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestServingCertificate(t *testing.T) {
	cert, key, err := servingCertificate(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	for _, name := range []string{"127.0.0.1", guestAddress, "localhost", "fd00:172:30::1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("not good for %s: %v", name, err)
		}
	}
}

func TestRequiredVersion(t *testing.T) {
	gomod := filepath.Join(t.TempDir(), "go.mod")
	const text = `module x
require example.com/alone v0.1.0
require (
	k8s.io/kubernetes v1.2.3 // indirect
)
replace k8s.io/api => k8s.io/api v0.37.2
`
	if err := os.WriteFile(gomod, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]string{"k8s.io/kubernetes": "v1.2.3", "example.com/alone": "v0.1.0"} {
		if got, err := requiredVersion(gomod, module); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", module, got, err, want)
		}
	}
	if v, err := requiredVersion(gomod, "k8s.io/api"); err == nil {
		t.Errorf("a module that is not required has version %q", v)
	}
}
