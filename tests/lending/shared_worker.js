fetch('/x/txt/shared-fetch');
importScripts('/x/js/shared-import');
