// A registry as people run it, CNCF's distribution, that asks who pushes in one of the two ways that registries have.
//
// registry STORE basic|token USER PASSWORD [CERTIFICATE KEY] listens at a port of 127.0.0.1, and says which on its standard
// output. With `token` it is its own token server.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd"
	_ "github.com/distribution/distribution/v3/registry/auth/token"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/crypto/bcrypt"
)

const (
	issuer  = "token-server"
	service = "registry"
	refresh = "a-refresh-token"
)

func main() {
	if len(os.Args) != 5 && len(os.Args) != 7 {
		log.Fatal("registry STORE basic|token USER PASSWORD [CERTIFICATE KEY]")
	}
	store, way, user, password := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	scheme := "http"
	if len(os.Args) == 7 {
		scheme = "https"
	}
	config := &configuration.Configuration{
		Version: "0.1",
		Storage: configuration.Storage{"filesystem": {"rootdirectory": store}},
	}
	config.HTTP.Secret = "one process"
	mux := http.NewServeMux()
	switch way {
	case "basic":
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
		must(err)
		file := filepath.Join(store, "htpasswd")
		must(os.WriteFile(file, []byte(user+":"+string(hash)+"\n"), 0o600))
		config.Auth = configuration.Auth{"htpasswd": {"realm": "test", "path": file}}
	case "token":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		public := jose.JSONWebKey{Key: &key.PublicKey, KeyID: "1", Algorithm: "ES256", Use: "sig"}
		keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
		must(err)
		file := filepath.Join(store, "jwks.json")
		must(os.WriteFile(file, keys, 0o600))
		config.Auth = configuration.Auth{"token": {
			"realm":   fmt.Sprintf("%s://%s/token", scheme, listener.Addr()),
			"service": service, "issuer": issuer, "jwks": file,
		}}
		mux.Handle("/token", tokens(key, user, password))
	default:
		log.Fatalf("%s: basic or token", way)
	}
	mux.Handle("/", handlers.NewApp(context.Background(), config))
	fmt.Println(listener.Addr())
	if scheme == "https" {
		log.Fatal(http.ServeTLS(listener, mux, os.Args[5], os.Args[6]))
	}
	log.Fatal(http.Serve(listener, mux))
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

type access struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

// The token specification of distribution: GET with the user's password, and POST with a refresh token as OAuth 2 has it.
func tokens(key *ecdsa.PrivateKey, user, password string) http.HandlerFunc {
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "1")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	must(err)
	return func(response http.ResponseWriter, request *http.Request) {
		var known bool
		field := "token"
		if request.Method == http.MethodPost {
			known = request.PostFormValue("grant_type") == "refresh_token" &&
				request.PostFormValue("refresh_token") == refresh
			field = "access_token"
		} else {
			name, secret, _ := request.BasicAuth()
			known = subtle.ConstantTimeCompare([]byte(name+":"+secret), []byte(user+":"+password)) == 1
		}
		if !known || request.FormValue("service") != service {
			response.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(response, `{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}`)
			return
		}
		var granted []access
		for _, scope := range strings.Fields(request.FormValue("scope")) {
			parts := strings.SplitN(scope, ":", 3)
			// Nobody may push to this one.
			if len(parts) == 3 && !strings.HasPrefix(parts[1], "locked/") {
				granted = append(granted, access{parts[0], parts[1], strings.Split(parts[2], ",")})
			}
		}
		now := time.Now()
		claims := jwt.Claims{
			Issuer: issuer, Subject: user, Audience: jwt.Audience{service}, ID: fmt.Sprint(now.UnixNano()),
			NotBefore: jwt.NewNumericDate(now.Add(-time.Minute)), IssuedAt: jwt.NewNumericDate(now),
			Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
		}
		signed, err := jwt.Signed(signer).Claims(claims).Claims(map[string]any{"access": granted}).Serialize()
		if err != nil {
			http.Error(response, err.Error(), http.StatusInternalServerError)
			return
		}
		response.Header().Set("Content-Type", "application/json")
		must(json.NewEncoder(response).Encode(map[string]any{field: signed, "expires_in": 60}))
	}
}
