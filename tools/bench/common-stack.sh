#!/bin/sh
# The stack that tutorials set up, to compare with: Debian's nginx as it is, gunicorn with three workers and its
# defaults, an RSA certificate. The application has a secret key, as on the other host: Flask prepares a session for each request
# where there is one. Standard input is a tar archive of the application, its requirements, and gunicorn.txt.
set -eu
export DEBIAN_FRONTEND=noninteractive
mkdir -p /srv/app && tar --extract --directory=/srv/app --no-same-owner
[ -e /srv/app/venv/.made ] || {
    apt-get -qq update
    apt-get -qq install --no-install-recommends nginx openssl python3-venv >/dev/null
    python3 -m venv /srv/app/venv
    for lock in requirements.txt gunicorn.txt; do
        /srv/app/venv/bin/pip install --quiet --no-deps --require-hashes -r "/srv/app/$lock"
    done
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=common.test -addext subjectAltName=DNS:common.test \
        -keyout /etc/ssl/private/common.key -out /etc/ssl/certs/common.pem 2>/dev/null
    echo "FLASK_SECRET_KEY=$(openssl rand -hex 32)" >/srv/app/environment
    touch /srv/app/venv/.made
}
cat >/etc/systemd/system/gunicorn.service <<END
[Service]
User=www-data
Group=www-data
RuntimeDirectory=gunicorn
WorkingDirectory=/srv/app
EnvironmentFile=/srv/app/environment
ExecStart=/srv/app/venv/bin/gunicorn --workers 3 --bind unix:/run/gunicorn/app.sock minimal:app
[Install]
WantedBy=multi-user.target
END
cat >/etc/nginx/sites-available/app <<'END'
server {
    listen 443 ssl;
    server_name common.test;
    ssl_certificate /etc/ssl/certs/common.pem;
    ssl_certificate_key /etc/ssl/private/common.key;
    location /static/ {
        alias /srv/app/static/;
    }
    location / {
        include proxy_params;
        proxy_pass http://unix:/run/gunicorn/app.sock;
    }
}
END
rm -f /etc/nginx/sites-enabled/default
ln -sf ../sites-available/app /etc/nginx/sites-enabled/app
systemctl daemon-reload
systemctl enable --quiet gunicorn
systemctl restart gunicorn nginx
