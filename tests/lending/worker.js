fetch('/x/txt/worker-fetch');
importScripts('/x/js/worker-import');
new Worker('/x/js/nested-worker');
