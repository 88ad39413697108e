'''
-tcp的服务端
			-server=ThreadingTCPServer 创建对象
			-server.serve_forever	开线程进行连接循环
			-写一个类(继承BaseRequestHandler类),类里重写handle,方法内收发数据(并发起来了)
'''

#使用socketserver写服务端
import socketserver

HOST = "127.0.0.1"
PORT = 8080

#自己定义一个类,必须继承BaseRequestHandler
class MyTcp(socketserver.BaseRequestHandler):
    # 必须重写handle方法
    def handle(self):
        try:
            while 1:
                # conn对象就是request
                # 接收数据
                print(self.client_address)  # 客户机地址
                data = self.request.recv(1024)
                print(data.decode("utf8"))
                if len(data) == 0:
                    return
                # 发送数据
                self.request.send(data.upper())
        except:
            print("出错了")


if __name__ == '__main__':
    # 实例化得到一个tcp连接的对象
    server = socketserver.ThreadingTCPServer((HOST,PORT),MyTcp)
    # 这里开的线程，获取连接
    server.serve_forever()
