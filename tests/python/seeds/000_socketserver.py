import socketserver

# 1. 继承socketserver.BaseRequestHandler类，重写handle，finishi方法
class server(socketserver.BaseRequestHandler):
    def handle(self):
        con = self.request
        while True:
            data = con.recv(1024)
            con.send(data)

    def finish(self):
        self.request.close()

socketserver.TCPServer.allow_reuse_address = True   # 端口复用开启

# 2.sockectserver对象初始化， 根据不同的应用使用不用的类，把之前写的类带入
obj = socketserver.ThreadingTCPServer(("", 6001), server)   

# 3.开启服务
obj.serve_forever()    
