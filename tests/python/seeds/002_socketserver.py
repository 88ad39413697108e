#!/usr/bin/env python
# coding=utf-8


from socketserver import *


class MyServer(BaseRequestHandler):
    # 重写方法
    def handle(self):
        conn = self.request
        conn.sendall(b'welcome')
        while True:
            data = conn.recv(1024).decode(encoding='utf-8')
            if data == 'exit':
                print('exit')
                break
            print(self.client_address, data)
            conn.sendall(b'hello')


if __name__ == '__main__':
    server = ThreadingTCPServer(('', 8899), MyServer)
    server.serve_forever()
