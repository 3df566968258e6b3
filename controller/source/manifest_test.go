package source

import (
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

const (
	web   = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n"
	db    = "apiVersion: v1\nkind: Service\nmetadata:\n  name: db\nspec:\n  clusterIP: 10.96.0.2\n"
	slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}\n" +
		"addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [10.1.0.1]}]\n"
	node = "apiVersion: v1\nkind: Node\nmetadata: {name: this}\n"
)

// objectsOf parses a text and returns the names of what it holds and ignores.
func objectsOf(text string) (names, ignored []string, err error) {
	documents, order, err := parse([]byte(text), nil)
	for _, sum := range order {
		for _, o := range documents[sum].objects {
			names = append(names, kindOf(o)+" "+keyOf(o))
		}
		ignored = append(ignored, documents[sum].ignored...)
	}
	return names, ignored, err
}

func TestAManifestHoldsItsDocumentsHoweverTheyAreWritten(t *testing.T) {
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	both := "Service shop/web, Service default/db"
	for _, c := range []struct{ name, text, want, ignored string }{
		{"nothing", "", "", ""},
		{"white space", " \n\n  \n", "", ""},
		{"comments only", "# nothing\n  # here\n", "", ""},
		{"separators only", "---\n---\n# x\n---\n", "", ""},
		{"one", web, "Service shop/web", ""},
		{"without a last line end", strings.TrimSuffix(web, "\n"), "Service shop/web", ""},
		{"two", web + "---\n" + db, both, ""},
		{"leading and trailing separators", "---\n" + web + "---\n" + db + "---\n", both, ""},
		{"the last separator without a line end", web + "---\n" + db + "---", both, ""},
		{"empty documents", "---\n---\n" + web + "---\n\n---\n# none\n---\n" + db + "---\n---\n", both, ""},
		{"separators with blanks", web + "---   \n" + db, both, ""},
		{"separators with comments", web + "--- # Source: chart/db.yaml\n" + db, both, ""},
		{"an object behind a separator", "--- {apiVersion: v1, kind: Node, metadata: {name: host}}\n---\t\n" + web, "Node /host, Service shop/web", ""},
		{"an end mark", "---\n" + web + "...\n---\n" + db + "...\n# the end\n", both, ""},
		{"a directive", "%YAML 1.1\n---\n" + web, "Service shop/web", ""},
		{"CRLF", crlf(web + "---\n" + db + "...\n"), both, ""},
		{"a byte order mark", "\ufeff" + web + "---\n" + db, both, ""},
		{"a byte order mark and a separator", "\ufeff---\n# x\n---\n" + web, "Service shop/web", ""},
		{"dashes inside a text", "apiVersion: v1\nkind: Node\nmetadata:\n  name: host\n  annotations:\n    key: |\n      ---\n      -----BEGIN\n      ...\n", "Node /host", ""},
		{"all kinds", web + "---\n" + slice + "---\n" + node, "Service shop/web, EndpointSlice shop/web-1, Node /this", ""},
		{"JSON", `{"apiVersion":"v1","kind":"Service","metadata":{"name":"j"}}`, "Service default/j", ""},
		{"JSON with tabs", "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Service\",\n\t\"metadata\": {\"name\": \"j\"}\n}\n", "Service default/j", ""},
		{"JSON objects in a row", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}` + "\n" + `{"apiVersion":"v1","kind":"Node","metadata":{"name":"b"}}`, "Node /a, Node /b", ""},
		{"YAML in braces", "# braces\n{apiVersion: v1, kind: Node,\n metadata: {name: host}} # end", "Node /host", ""},
		{"a List", "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: \"\"}\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}}\n" +
			"- {apiVersion: v1, kind: Secret}\n- {apiVersion: v1, kind: Pod}\n- {apiVersion: v1, kind: Node, metadata: {name: b}}\n",
			"Service default/a, Node /b", "v1 Secret, v1 Pod"},
		{"an empty List", "apiVersion: v1\nkind: List\nitems: []\n", "", ""},
		{"a List in a List", "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Node, metadata: {name: b}}]}]\n", "Node /b", ""},
		{"other kinds", "apiVersion: apps/v1\nkind: Deployment\nspec: {anything: goes}\n---\n" + web + "---\napiVersion: v1\nkind: Endpoints\n",
			"Service shop/web", "apps/v1 Deployment, v1 Endpoints"},
		{"a kind of ours in a version that is not", "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\n", "", "discovery.k8s.io/v1beta1 EndpointSlice"},
		{"a Node in a namespace", "apiVersion: v1\nkind: Node\nmetadata: {name: host, namespace: x}\n", "Node /host", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			names, ignored, err := objectsOf(c.text)
			if err != nil || strings.Join(names, ", ") != c.want || strings.Join(ignored, ", ") != c.ignored {
				t.Errorf("got %q, ignored %q, error %v;\nwant %q, ignored %q", names, ignored, err, c.want, c.ignored)
			}
		})
	}
}

func TestAManifestErrorNamesTheDocumentAndWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"not YAML", web + "---\n{ not: [yaml\n", []string{"document 2 (from line 5)", "yaml"}},
		{"text", "hello\n", []string{"document 1 (from line 1)", "not a Kubernetes object"}},
		{"a sequence", "- a\n", []string{"document 1", "not a Kubernetes object"}},
		{"null", "null\n", []string{"document 1", "no kind"}},
		{"binary", "\x7fELF\x00\x01", []string{"document 1", "yaml"}},
		{"tabs", "apiVersion: v1\nkind: Service\nmetadata:\n\tname: web\n", []string{"document 1", "line 4", "cannot start any token"}},
		{"unknown field", web + "---\n" + strings.Replace(web, "ports", "prots", 1), []string{"document 2", `Service "web"`, `unknown field "spec.prots"`}},
		{"unknown nested field", strings.Replace(web, "{port", "{prot", 1), []string{`unknown field "spec.ports[0].prot"`}},
		{"wrong letter case", strings.Replace(web, "clusterIP", "clusterip", 1), []string{`unknown field "spec.clusterip"`}},
		{"field twice", db + "  clusterIP: 10.96.0.3\n", []string{"document 1", "clusterIP", "already set"}},
		{"field twice in JSON", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"a","name":"b"}}`, []string{"document 1", `duplicate field "metadata.name"`}},
		{"wrong type", strings.Replace(web, "80", `"80"`, 1), []string{"document 1", "Service", "string", "port"}},
		{"number for a string", strings.Replace(web, "10.96.0.1", "10", 1), []string{"document 1", "number", "clusterIP"}},
		{"port too large for its type", strings.Replace(web, "80", "99999999999", 1), []string{"document 1", "99999999999"}},
		{"no kind", "apiVersion: v1\nmetadata: {name: x}\n", []string{"document 1", "no kind and apiVersion"}},
		{"no apiVersion", "kind: Service\nmetadata: {name: x}\n", []string{"document 1", "no kind and apiVersion"}},
		{"no name", "---\n# first\n---\n" + web + "---\napiVersion: v1\nkind: Service\n", []string{"document 2 (from line 8)", "Service", "metadata.name is missing"}},
		{"slash in a name", strings.Replace(web, "name: web", "name: a/b", 1), []string{"document 1", `"a/b"`, "/"}},
		{"slash in a namespace", strings.Replace(web, "shop", "a/b", 1), []string{"document 1", `"a/b"`}},
		{"bad item of a List", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n- {apiVersion: v1, kind: Node}\n",
			[]string{"document 1", "item 2", "Node", "metadata.name is missing"}},
		{"nothing as an item", "apiVersion: v1\nkind: List\nitems: [null]\n", []string{"item 1", "no kind"}},
		{"a List without items", "apiVersion: v1\nkind: List\n", []string{"document 1", "List without items"}},
		{"a List with a slip", "apiVersion: v1\nkind: List\nitmes: []\n", []string{"document 1", "List", "itmes"}},
		{"text after the end mark", web + "...\n" + db, []string{"document 1", "follows the end of the document"}},
		{"a second JSON object that is none of ours", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}{}`, []string{"document 1", "object 2", "no kind"}},
		{"text behind JSON", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}} more`, []string{"document 1", "yaml"}},
		{"text behind braces", "{apiVersion: v1, kind: Node, metadata: {name: a}}\n{apiVersion: v1}\n", []string{"document 1", "yaml"}},
		{"commas between braces", "{apiVersion: v1, kind: Node, metadata: {name: a}},\n{apiVersion: v1}\n", []string{"document 1", "commas"}},
		{"a word that YAML takes for something else", "apiVersion: v1\nkind: Node\nmetadata: {name: on}\n", []string{"document 1", "Node", "bool", "name"}},
		{"a merge conflict", "<<<<<<< HEAD\n" + web + "=======\n" + db + ">>>>>>> x\n", []string{"document 1"}},
		{"a bomb", "a: &a [x,x,x,x,x,x,x,x,x]\n" + bomb(), []string{"document 1", "excessive"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			names, _, err := objectsOf(c.text)
			if err == nil || len(names) > 0 {
				t.Fatalf("got %q, error %v", names, err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// bomb returns a few lines of YAML that stand for 9^10 items.
func bomb() string {
	var text strings.Builder
	for n := 'b'; n < 'k'; n++ {
		text.WriteString(string(n) + ": &" + string(n) + " [" + strings.Repeat("*"+string(n-1)+",", 9) + "]\n")
	}
	return text.String()
}

func TestAManifestMayBeHuge(t *testing.T) {
	line := "# " + strings.Repeat("x", 200_000) + "\n"
	names, _, err := objectsOf(strings.Repeat(line, 20) + manyManifests(300) + "---\n" + line + web)
	if err != nil || len(names) != 601 || names[600] != "Service shop/web" {
		t.Errorf("%d objects, error %v", len(names), err)
	}
}

func TestAnObjectFromAManifestIsAsWrittenWithoutTheClusterItCameFrom(t *testing.T) {
	text := strings.Replace(web, "namespace: shop", `namespace: shop, resourceVersion: "123", uid: abc`, 1)
	documents, order, err := parse([]byte(text+"---\n"+slice), nil)
	if err != nil {
		t.Fatal(err)
	}
	svc := documents[order[0]].objects[0].(*corev1.Service)
	if svc.Spec.ClusterIP != "10.96.0.1" || len(svc.Spec.Ports) != 1 || svc.Spec.Ports[0].Port != 80 || svc.UID != "abc" || svc.ResourceVersion != "" {
		t.Errorf("%+v", svc)
	}
	es := documents[order[1]].objects[0].(*discoveryv1.EndpointSlice)
	if es.AddressType != discoveryv1.AddressTypeIPv4 || es.Labels[discoveryv1.LabelServiceName] != "web" ||
		*es.Ports[0].Port != 8080 || es.Endpoints[0].Addresses[0] != "10.1.0.1" {
		t.Errorf("%+v", es)
	}
}

func TestADocumentThatStaysAsItWasKeepsItsObjects(t *testing.T) {
	before, order, err := parse([]byte(web+"---\n"+slice), nil)
	if err != nil {
		t.Fatal(err)
	}
	after, newOrder, err := parse([]byte(node+"---\n"+strings.Replace(web, "80", "81", 1)+"---\n"+slice), before)
	if err != nil {
		t.Fatal(err)
	}
	if after[newOrder[2]].objects[0] != before[order[1]].objects[0] {
		t.Error("the slice was read again")
	}
	if port := after[newOrder[1]].objects[0].(*corev1.Service).Spec.Ports[0].Port; port != 81 || len(after) != 3 {
		t.Errorf("port %d, %d documents", port, len(after))
	}
}

// FuzzParse reads any text as a manifest: it never panics, and gives either an error or objects
// with a name and a place, the same ones each time, known documents or not.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", web, web + "---\n" + slice + "---\n" + node, "\ufeff--- # x\r\n" + web + "...\r\n",
		"apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Service, metadata: {name: a}}\n", "a: &a [*a]\n", "---", "--- ---", "%YAML", "...\n..."} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var joined []byte
		for _, text := range split(data) {
			joined = append(joined, text...)
		}
		bare := strings.NewReplacer("---", "", " ", "", "\t", "", "\r", "")
		if got, want := bare.Replace(string(joined)), bare.Replace(strings.TrimPrefix(string(data), "\ufeff")); got != want {
			t.Errorf("splitting has lost more than separators: %q, want %q", got, want)
		}
		documents, order, err := parse(data, nil)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "document ") || documents != nil {
				t.Errorf("error %v", err)
			}
			return
		}
		for _, sum := range order {
			for _, o := range documents[sum].objects {
				if o.GetName() == "" || strings.Contains(o.GetName()+o.GetNamespace(), "/") || o.GetResourceVersion() != "" {
					t.Errorf("%#v", o)
				}
			}
		}
		again, _, err := parse(data, documents)
		if err != nil || !reflect.DeepEqual(documents, again) {
			t.Errorf("read again: %v", err)
		}
	})
}
